"""How sure a map has to be of a cell to answer for its crop, and what can be promised of the whole map then."""
