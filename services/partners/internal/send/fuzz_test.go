package send

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCheckURL checks that an address which is let through names a host by https and holds nothing that logs would show.
func FuzzCheckURL(f *testing.F) {
	for _, address := range []string{
		"", "https://", "https://events.example/hook", "http://events.example", "https://u:p@events.example", "https://events.example?a", "https://events.example/#",
		"https://[::1]:8443/", "https://[fe80::1%25eth0]/", "HTTPS://EVENTS.EXAMPLE", "https:events.example", "https://events.example:99999", "https://%41", "//events.example",
		"https://events.example/%3Fa",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if CheckURL(address) != nil {
			return
		}
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.NotEmpty(t, u.Hostname())
		require.Equal(t, (&url.URL{Scheme: "https", Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String(), u.String())
	})
}
