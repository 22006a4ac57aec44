// Package devfund runs the PCN development fund: allocations down the hierarchy from nation to PCN and supplier, decisions on how they
// are shared, plans with the governance checks of the guidance, tranches into the month's schedule, reports of spend, and what becomes
// of unspent money.
//
// An allocation is a row with the sums that stand; every amount that was ever stated of it is a version beside it. Money goes down by
// sharing decisions, which keep what they rested on and can be replayed, and is committed by the lines of approved plans; the database
// bounds both by what was released. What an approved plan pays a PCN is fixed as tranches; a close schedules what is due of them.
package devfund
