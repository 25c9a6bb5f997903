"""Who may connect, ask and change something over HTTP, and how much."""
