select latest from clock
