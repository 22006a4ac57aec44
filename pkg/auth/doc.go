// Package auth turns a bearer token into a principal and decides, from the access rule declared beside each call in the
// contracts, whether that principal may make the call. Which rows a caller sees is decided in SQL by the handlers, with the
// scope a principal gives them.
package auth
