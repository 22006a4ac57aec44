package rules

// England is the code under which allocations and settings hold for the nation.
const England = "england"
