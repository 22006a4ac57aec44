// Package sqldb opens a service's own database, SQLite or Postgres, and runs transactions on it.
//
// One text of SQL serves both engines: parameters are $1, $2 …, ids and ISO dates are TEXT, pence and times are BIGINT (see
// [Micros]), bytes are BYTEA, and ON CONFLICT and RETURNING may be used. What differs between the engines stays in this
// package: the isolation of a transaction, the lock on an aggregate ([Tx.Lock]), bulk loading ([Tx.BulkInsert]), the
// settings that make a commit survive a power cut, and the meaning of the engines' errors.
//
// Statements that do not hang on each other's results are sent together: [Tx.Queue] for those of which nobody needs the result,
// [Batch] for reads.
//
// A transaction is a closure. It must make no network call, and it may run more than once, so it must have no effect but
// through its [Tx]; effects that may only follow a commit go into [Tx.AfterCommit].
package sqldb
