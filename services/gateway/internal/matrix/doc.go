// Package matrix is a test: it makes every call of the running suite as every role, for bodies of their own and of others, over gRPC and
// REST, and holds the answers against the rules that the contracts declare. docs/authorisation.md shows those.
package matrix
