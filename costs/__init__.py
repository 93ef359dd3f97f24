"""What agents cost: prices, budgets. Pure: no clock, socket or file."""
