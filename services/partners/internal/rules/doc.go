// Package rules decides what of partners is decided on values alone: which events a set of types takes in, and when what failed is tried
// again.
package rules
