package certs

import (
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzNameOf checks that a certificate has a name only by the one spelling of its URI, so that none looks like another's.
func FuzzNameOf(f *testing.F) {
	for _, uri := range []string{
		"spiffe://pcnfunding/core", "spiffe://pcnfunding/core/", "spiffe://pcnfunding/", "spiffe://other/core", "spiffe://pcnfunding:1/core", "spiffe://pcnfunding/%63ore",
		"spiffe://user@pcnfunding/core", "SPIFFE://pcnfunding/core", "spiffe://pcnfunding/core?a", "spiffe://pcnfunding/core#a", "spiffe://pcnfunding/a/../core", "https://pcnfunding/core",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.Parse(uri)
		if err != nil {
			return
		}
		name, err := nameOf(&x509.Certificate{URIs: []*url.URL{u}}, "pcnfunding")
		if err != nil {
			require.Empty(t, name)
			return
		}
		require.Regexp(t, `^[a-z][a-z0-9-]{0,62}$`, name)
		require.Equal(t, url.URL{Scheme: "spiffe", Host: "pcnfunding", Path: "/" + name}, *u)
		_, err = nameOf(&x509.Certificate{URIs: []*url.URL{u, u}}, "pcnfunding")
		require.Error(t, err, "two names are none")
	})
}
