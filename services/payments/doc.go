// Package payments takes a month from closed schedules to money sent and reconciled.
//
// It takes in the schedules of every fund, verified and once. The lines to pay of one commissioner and month make a run, which one
// person puts forward and another approves. Approval posts to the ledger, export writes the file that a finance system takes,
// and confirmations settle. What another system pays itself is only compared with what was expected.
//
// A line to pay is an item: open, payable, sent, settled, or rejected. Items say what may happen next; the ledger, append-only
// and in balance by the database's own checks, says what has happened.
package payments
