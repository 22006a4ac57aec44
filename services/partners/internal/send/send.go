// Package send posts events to webhooks: signed as Standard Webhooks has it, over https alone, to public addresses alone.
package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
)

// Limits of one attempt.
const (
	// Timeout bounds an attempt from the look-up of the name to the first line of the answer.
	Timeout = 15 * time.Second
	// connectTimeout bounds the connection, and after it the handshake.
	connectTimeout = 5 * time.Second
	// maxHeaderBytes bounds the header of an answer; its body is never read.
	maxHeaderBytes = 16 << 10
)

// Options says where webhooks may lead.
type Options struct {
	// Roots are the authorities whose certificates are believed; nil means those of the system.
	Roots *x509.CertPool
	// Private lets webhooks lead to this machine and to private networks; for development and tests.
	Private bool
	// Timeout is that of one attempt; 0 means Timeout.
	Timeout time.Duration
}

// Sender posts events. It is safe for concurrent use.
type Sender struct {
	client  *http.Client
	timeout time.Duration
}

// New makes a sender. It follows no redirect, uses no proxy, and connects to an address only after it has looked at what the name led to.
func New(o Options) *Sender {
	dialer := &net.Dialer{Timeout: connectTimeout}
	if !o.Private {
		// The check is made on the address that is connected to, so that a name which changes between look-up and connection gains nothing.
		dialer.Control = ssrf.New(ssrf.WithAnyPort()).Safe
	}
	if o.Timeout == 0 {
		o.Timeout = Timeout
	}
	return &Sender{timeout: o.Timeout, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: connectTimeout, MaxResponseHeaderBytes: maxHeaderBytes, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, DisableCompression: true,
		},
	}}
}

// Close ends connections that wait for more.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// CheckURL refuses an address that no webhook may have, in words that say why.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it cannot be read")
	case u.Scheme != "https":
		return errors.New("it does not begin with https://")
	case u.Hostname() == "":
		return errors.New("it names no host")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", strings.Contains(address, "#"):
		return errors.New("it holds a user, a query or a fragment, which logs would show")
	}
	return nil
}

// Message is what is posted.
type Message struct {
	// ID names the event; it is the same each time the event is sent.
	ID string
	// At is when the attempt is made; receivers refuse what is far from their own time.
	At time.Time
	// ContentType and Body are the content.
	ContentType string
	Body        []byte
	// Secrets sign it, each with a signature of its own.
	Secrets []string
}

// Result is how an attempt ended.
type Result struct {
	Outcome partnersv1.AttemptOutcome
	// Gone says that the receiver wants no more.
	Gone bool
}

// Post makes one attempt. The error says why none was made, or that ctx ended before it was known how it went.
func (s *Sender) Post(ctx context.Context, address string, m *Message) (Result, error) {
	signatures := make([]string, len(m.Secrets))
	for i, secret := range m.Secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			signatures[i], err = signer.Sign(m.ID, m.At, m.Body)
		}
		if err != nil {
			return Result{}, errors.New("sign a message: the secret is none") // the cause might quote it
		}
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, address, bytes.NewReader(m.Body))
	if err != nil {
		return Result{}, fmt.Errorf("make a request: %w", err)
	}
	req.Header = http.Header{
		"Content-Type": {m.ContentType},
		"User-Agent":   {"pcnfunding-webhooks"},
	}
	req.Header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.At.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	answer, err := s.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, fmt.Errorf("post a message: %w", ctx.Err())
		}
		return Result{Outcome: outcomeOf(err)}, nil
	}
	_ = answer.Body.Close() // what the receiver says beside the status is of no use, and might be anything
	return Result{Outcome: outcomeOfStatus(answer.StatusCode), Gone: answer.StatusCode == http.StatusGone}, nil
}

func outcomeOfStatus(code int) partnersv1.AttemptOutcome {
	switch code / 100 {
	case 2:
		return partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED
	case 3:
		return partnersv1.AttemptOutcome_ATTEMPT_REDIRECTED
	case 4:
		return partnersv1.AttemptOutcome_ATTEMPT_CLIENT_ERROR
	default:
		return partnersv1.AttemptOutcome_ATTEMPT_SERVER_ERROR
	}
}

func outcomeOf(err error) partnersv1.AttemptOutcome {
	if errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) {
		return partnersv1.AttemptOutcome_ATTEMPT_ADDRESS_REFUSED
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return partnersv1.AttemptOutcome_ATTEMPT_CERTIFICATE_REFUSED
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return partnersv1.AttemptOutcome_ATTEMPT_TIMED_OUT
	}
	return partnersv1.AttemptOutcome_ATTEMPT_UNREACHABLE
}
