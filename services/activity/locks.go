package activity

// Locks are taken in this order: figures, imports, commissioners by code.

// figuresLock is held by whoever adds figures or settings: they are numbered, and each is held against those before it.
const figuresLock = "figures"

// importsLock is held by whoever takes a file in: imports and cuts are numbered.
const importsLock = "imports"

// commissionerLock is held by whatever adds cuts, reports or publications of a commissioner.
func commissionerLock(code string) string { return "commissioner/" + code }
