"""Who answers for what and where: the most specific rule, and the places that have none."""
