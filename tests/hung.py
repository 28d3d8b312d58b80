"""How long a test waits for what must come."""

HUNG_S = 900.0  # says "hung", never "slow": what has not come by now will not come on any machine
