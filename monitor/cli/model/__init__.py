"""Commands that train a model, and show one."""
