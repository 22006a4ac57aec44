// Package iif runs the Investment and Impact Fund: it takes counts in, works out achievement, points and pounds of every PCN, carries
// the year through declaration and approval, and schedules what was approved.
//
// Figures, settings and counts are versions in a database, each with a position. A result names what it rests on: the members and the
// list of the PCN, and the last figure and the last count that it knew. Its working is not kept but follows from those, and gives the
// same pence every time. Whatever a result rests on that changes works the years that are not approved out again, in the same
// transaction, so that nobody declares or approves what no longer holds.
package iif
