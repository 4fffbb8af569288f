"""The commands of ``harness`` about single runs and logs; campaigns have rooms of their own."""
