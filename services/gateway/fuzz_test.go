package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRequest holds that any path, query, headers and body are answered, and never by an error of the gateway's own.
func FuzzRequest(f *testing.F) {
	s := newSuite(f)
	f.Add("POST", closePath, "", "application/json", `"k"`, `"3"`, `{"requestId":"r1"}`)
	f.Add("GET", "/v1/core/rates", "page_size=1&page_token=x", "", "", "*", "")
	f.Add("GET", "/v1/core/rates/%2e%2e%2f", "page_size=%zz&a=b&a=c", "", "k", `W/"3", "4"`, "")
	f.Add("POST", "/v1/register/imports", "source=x&extract_date=2022-04-01", "text/csv", "k", "", "a,b\n1,2\n")
	f.Add("POST", "/v1/payments/holds", "", "application/json; charset=latin-1", "", "", `{"a":{"a":[[[1e999]]]},"a":"\ud800"}`)
	f.Fuzz(func(t *testing.T, method, path, query, media, key, tag, body string) {
		target, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			return
		}
		target.RawQuery = query
		r, err := http.NewRequestWithContext(t.Context(), method, "http://x/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL = target
		for name, value := range map[string]string{"Content-Type": media, "Idempotency-Key": key, "If-Match": tag, "If-None-Match": tag, "Accept": media} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusNotImplemented { // the services of the test offer some calls only
			require.Less(t, w.Code, 500, w.Body.String())
		}
	})
}
