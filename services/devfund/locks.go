package devfund

// Locks are taken in this order: settings, commissioners by code, england (rules.England) among them.

// settingsLock is held by whoever adds settings: they are numbered.
const settingsLock = "settings"

// needLock is held by whoever adds weighted populations, and is the only one that they hold.
const needLock = "need"

// commissionerLock is held by whatever changes allocations, plans, spend or schedules that a commissioner accounts for; the money of a
// parent allocation is changed under the lock of the one that accounts for the parent.
func commissionerLock(code string) string { return "commissioner/" + code }
