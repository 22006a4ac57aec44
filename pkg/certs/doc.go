// Package certs holds the certificates by which the parts of the suite know each other: TLS 1.3 with a certificate on both sides,
// and the name of each part in its certificate as spiffe://<trust domain>/<name>. A client checks that it has reached the service
// it meant, a server learns which part of the suite calls. Host names play no role, so a certificate is as good for any replica at
// any address.
//
// The files belong to whoever renews them, such as cert-manager. They are read at each handshake, so a renewed certificate or
// authority counts from the next connection on, and connections end after minutes.
package certs
