"""People who receive: their addresses, their ids in other systems, their groups. It decides nothing about sending."""
