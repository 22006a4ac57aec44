// Package rpc holds the gRPC mechanism that every service of the suite shares: one server with one chain of interceptors, one
// client with one service config, faults as statuses and back, health, and an in-process connection.
//
// The chain of a server, outermost first: telemetry; panic recovered, correlation id, fault to status; who calls, by their
// certificate; deadline; bound on concurrent work; authentication; rate per subject; authorisation by the rule declared beside the
// call; request_id and etag from metadata; validation. It is the same for unary calls and streams; a stream is authorised and
// validated message by message.
package rpc
