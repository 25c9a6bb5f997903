"""The live page: the fleet and one channel's forecasts in a browser, without outside requests."""
