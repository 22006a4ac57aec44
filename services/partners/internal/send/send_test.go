package send_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/send"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func message(secrets ...string) *send.Message {
	return &send.Message{
		ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", At: time.Unix(1614265330, 0), ContentType: "application/json", Body: []byte(`{"test": 2432232314}`), Secrets: secrets,
	}
}

// receiver starts a TLS server and returns its address and a sender that believes its certificate.
func receiver(t *testing.T, handler http.HandlerFunc, change ...func(*send.Options)) (string, *send.Sender) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // only then does the server notice that a client has gone
		if err == nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			handler(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	o := send.Options{Roots: x509.NewCertPool(), Private: true}
	o.Roots.AddCert(server.Certificate())
	for _, fn := range change {
		fn(&o)
	}
	s := send.New(o)
	t.Cleanup(s.Close)
	return server.URL + "/hook", s
}

// TestPost_SignsAsPublished holds the signature against the worked example of the Standard Webhooks specification.
func TestPost_SignsAsPublished(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	url, s := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	second := "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	result, err := s.Post(t.Context(), url, message(secret, second))
	require.NoError(t, err)
	require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED, result.Outcome)
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/hook", got.URL.Path)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", got.Header.Get("webhook-id"))
	require.Equal(t, "1614265330", got.Header.Get("webhook-timestamp"))
	signatures := strings.Split(got.Header.Get("webhook-signature"), " ")
	require.Len(t, signatures, 2, "one of each secret")
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signatures[0])
	for _, known := range []string{secret, second} {
		verifier, err := standardwebhooks.NewWebhook(known)
		require.NoError(t, err)
		require.NoError(t, verifier.VerifyIgnoringTimestamp(body, got.Header))
		require.Error(t, verifier.Verify(body, got.Header), "it is years old")
		require.Error(t, verifier.VerifyIgnoringTimestamp([]byte(`{"test": 2432232315}`), got.Header))
	}
}

func TestPost_TellsHowItEnded(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]send.Result{
		200: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED},
		204: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED},
		302: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_REDIRECTED},
		400: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_CLIENT_ERROR},
		410: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_CLIENT_ERROR, Gone: true},
		429: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_CLIENT_ERROR},
		500: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_SERVER_ERROR},
		700: {Outcome: partnersv1.AttemptOutcome_ATTEMPT_SERVER_ERROR},
	} {
		requests := 0
		url, s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			w.Header().Set("Location", "https://"+r.Host+"/elsewhere")
			w.WriteHeader(status)
		})
		result, err := s.Post(t.Context(), url, message(secret))
		require.NoError(t, err)
		require.Equal(t, want, result, status)
		require.Equal(t, 1, requests, "no redirect is followed")
	}
}

func TestPost_WaitsNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	for name, handler := range map[string]http.HandlerFunc{
		"no answer":     func(http.ResponseWriter, *http.Request) { <-over },
		"a long header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) },
	} {
		url, s := receiver(t, handler, func(o *send.Options) { o.Timeout = 50 * time.Millisecond })
		result, err := s.Post(t.Context(), url, message(secret))
		require.NoError(t, err)
		require.Contains(t, []partnersv1.AttemptOutcome{partnersv1.AttemptOutcome_ATTEMPT_TIMED_OUT, partnersv1.AttemptOutcome_ATTEMPT_UNREACHABLE}, result.Outcome, name)
	}
	// A body that never ends is not waited for: the status says all.
	url, s := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	result, err := s.Post(t.Context(), url, message(secret))
	require.NoError(t, err)
	require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED, result.Outcome)
	close(over)
}

func TestPost_KnowsNothingOfAnAttemptThatWasCutShort(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	url, s := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	})
	_, err := s.Post(ctx, url, message(secret))
	require.ErrorIs(t, err, context.Canceled)
}

func TestPost_BelievesNoOtherCertificate(t *testing.T) {
	t.Parallel()
	url, _ := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may be sent") })
	stranger := send.New(send.Options{Roots: x509.NewCertPool(), Private: true})
	result, err := stranger.Post(t.Context(), url, message(secret))
	require.NoError(t, err)
	require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_CERTIFICATE_REFUSED, result.Outcome)
	url, s := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may be sent") })
	result, err = s.Post(t.Context(), strings.Replace(url, "127.0.0.1", "localhost", 1), message(secret))
	require.NoError(t, err)
	require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_CERTIFICATE_REFUSED, result.Outcome, "the certificate is for another name")
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	t.Cleanup(old.Close)
	result, err = s.Post(t.Context(), old.URL, message(secret))
	require.NoError(t, err)
	require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_UNREACHABLE, result.Outcome)
}

// TestPost_SendsNothingInside goes through addresses that lead into a network, and names and spellings of them.
func TestPost_SendsNothingInside(t *testing.T) {
	t.Parallel()
	url, _ := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may be sent") })
	s := send.New(send.Options{})
	for _, host := range []string{
		strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/hook"), "localhost", "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fd00:ec2::254]",
		"[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]",
	} {
		result, err := s.Post(t.Context(), "https://"+host+"/", message(secret))
		require.NoError(t, err, host)
		// A host whose address the system itself cannot reach is refused before it is looked at.
		require.Contains(t, []partnersv1.AttemptOutcome{partnersv1.AttemptOutcome_ATTEMPT_ADDRESS_REFUSED}, result.Outcome, host)
	}
}

func TestCheckURL_RefusesWhatLogsWouldShow(t *testing.T) {
	t.Parallel()
	require.NoError(t, send.CheckURL("https://events.partner.example/pcn/hook"))
	require.NoError(t, send.CheckURL("https://events.partner.example:8443"))
	for _, url := range []string{
		"", "http://a.example", "ftp://a.example", "https://", "https:///x", "https://:443/x", "https://user@a.example/", "https://u:p@a.example/", "https://a.example/?token=1",
		"https://a.example/?", "https://a.example/#x", "https://a.example/#", "https://a.example:port/", "//a.example", "https://[::1", "\x00",
	} {
		require.Error(t, send.CheckURL(url), url)
	}
}

func TestPost_NeverQuotesASecret(t *testing.T) {
	t.Parallel()
	_, err := send.New(send.Options{}).Post(t.Context(), "https://a.example", message("whsec_not base64"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "base64")
}
