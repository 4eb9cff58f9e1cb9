"""Until when: working time as pure values, the clocks of cases, the limits of stages."""
