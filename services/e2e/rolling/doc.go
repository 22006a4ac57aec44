// Package rolling holds the test that an upgrade of a running suite loses nothing: real processes, two of each service, are replaced
// one after another under load, as a Deployment replaces its pods. The short form, of three services and one program, runs with the
// other tests; "make rolling" replaces every process of all services by those of another commit.
package rolling
