package iif

// Locks are taken in this order: figures, counts, commissioners by code.

// figuresLock is held by whoever adds figures or settings: they are numbered, and each is held against those before it.
const figuresLock = "figures"

// countsLock is held by whoever adds counts: they are numbered.
const countsLock = "counts"

// commissionerLock is held by whatever changes the years of a commissioner's PCNs.
func commissionerLock(code string) string { return "commissioner/" + code }
