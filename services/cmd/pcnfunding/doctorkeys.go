package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

const (
	askLimit = 5 * time.Second
	// maxAsked bounds what is read of an answer.
	maxAsked = 1 << 20
	// httpGrain is what the Date header of HTTP is exact to.
	httpGrain = time.Second
	// certificateDoubtful is the rest of a certificate's life at which somebody has to look why it is not renewed.
	certificateDoubtful = 14 * 24 * time.Hour
)

// ask fetches JSON and tells what the clock of the server said.
func ask(ctx context.Context, web *http.Client, url string, into any) (date time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	answer, err := web.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("%s answered %s", url, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAsked)).Decode(into); err != nil {
		return time.Time{}, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	date, _ = http.ParseTime(answer.Header.Get("Date")) // the zero time where there is none
	return date, nil
}

// issuer tells whether tokens can be verified.
func (e *examination) issuer(ctx context.Context) {
	name := e.command.OIDCIssuer
	if name == "" {
		e.localIssuer()
		return
	}
	const check, mend = "issuer", "see that the issuer runs, that its address is right (--oidc-issuer) and that this machine may reach it"
	var document struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	before := time.Now()
	date, err := ask(ctx, http.DefaultClient, strings.TrimSuffix(name, "/")+"/.well-known/openid-configuration", &document)
	after := time.Now()
	if err == nil && document.Issuer != name {
		err = fmt.Errorf("it calls itself %q, and its tokens are not those of %q", document.Issuer, name)
	}
	if err != nil {
		e.note(check, broken, mend, "%v", err)
		return
	}
	if date.IsZero() {
		e.note("clock of the issuer", unverified, "", "it does not tell the time")
	} else {
		e.clock("clock of the issuer", date, before, after, httpGrain)
	}
	var set jose.JSONWebKeySet
	if _, err := ask(ctx, http.DefaultClient, document.JWKS, &set); err != nil {
		e.note(check, broken, mend, "its key set: %v", err)
		return
	}
	usable := slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool { return !k.IsPublic() || k.Use == "enc" })
	if len(usable) == 0 {
		e.note(check, broken, mend, "%s publishes no key that a token could be verified with", document.JWKS)
		return
	}
	e.note(check, fine, "", "%s, with %d keys", name, len(usable))
}

// localIssuer looks at the key of the local run, which the first start makes.
func (e *examination) localIssuer() {
	const check = "local issuer"
	path := filepath.Join(e.command.DataDir, "local-issuer.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		e.note(check, fine, "", "the first start makes its key; --oidc-issuer names another issuer")
		return
	}
	if _, err := auth.OpenLocalIssuer(e.command.DataDir, time.Now); err != nil {
		e.note(check, broken, "chmod 600 "+path, "%v", err)
		return
	}
	e.note(check, fine, "", "%s; it is for one machine only", path)
}

// keys looks at the key behind the pseudonyms of persons.
func (e *examination) keys(context.Context) {
	if !slices.Contains(e.services, arrs.Name) {
		return
	}
	const check = "person key"
	path := e.command.PersonKey
	if path == "" {
		path = filepath.Join(e.command.DataDir, "person.key")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && e.command.PersonKey == "":
		e.note(check, fine, "", "the first start makes it in %s", path)
	case err != nil:
		e.note(check, broken, "put the key that the service has always had into the file; a new one would make all persons strangers", "%v", err)
	case info.Size() < keyBytes:
		e.note(check, broken, "put the whole key back from where it is kept", "%s has %d bytes and needs %d", path, info.Size(), keyBytes)
	case info.Mode().Perm()&0o007 != 0:
		e.note(check, broken, "chmod o= "+path, "anybody on this machine may read %s (mode %o)", path, info.Mode().Perm())
	default:
		e.note(check, fine, "", "%s, %d bytes", path, info.Size())
	}
}

// webhookKey looks at the key that seals the secrets of webhooks, and at whether it opens those there are.
func (e *examination) webhookKey(ctx context.Context) {
	db := e.stores[partners.Name]
	if db == nil {
		return
	}
	const check, mend = "webhook key", "put the key back that the service had (--webhook-key-file); without it give each webhook a new secret: pcnfunding partner webhook rotate"
	path := e.command.WebhookKey
	if path == "" {
		path = filepath.Join(e.command.DataDir, "webhook.key")
	}
	var keys *partners.Keys
	if text, err := os.ReadFile(path); err == nil { //nolint:gosec // the operator names the file
		if keys, err = partners.ParseKeys(text); err != nil {
			e.note(check, broken, mend, "%s: %v", path, err)
			return
		}
	} else if e.command.WebhookKey != "" || !errors.Is(err, fs.ErrNotExist) {
		e.note(check, broken, mend, "%v", err)
		return
	}
	if err := webhooks(ctx, db, keys); err != nil {
		e.note(check, broken, mend, "%v", err)
		return
	}
	e.note(check, fine, "", "every secret of a webhook can be opened")
}

// certificate looks at the certificate by which other services know this one.
func (e *examination) certificate(context.Context) {
	cert, key, authorities := e.flags("tls-cert-file"), e.flags("tls-key-file"), e.flags("tls-ca-file")
	if cert == "" && key == "" && authorities == "" {
		return
	}
	domain := cmp.Or(e.flags("tls-trust-domain"), "pcnfunding")
	name := e.command.Service
	if name == "all" {
		name = ""
	}
	e.readCertificate(certificateFiles{cert, key, authorities}, "spiffe://"+domain+"/"+name, time.Now())
}

type certificateFiles struct{ cert, key, authorities string }

// readCertificate judges the certificate in the files at a time; the name it must carry ends with / where any will do.
func (e *examination) readCertificate(files certificateFiles, name string, now time.Time) {
	const check, mend = "certificate", "have it issued again (--tls-cert-file, --tls-key-file, --tls-ca-file)"
	pair, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		e.note(check, broken, mend, "%v", err)
		return
	}
	text, err := os.ReadFile(files.authorities)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		e.note(check, broken, mend, "%s holds no certificate of an authority: %v", files.authorities, err)
		return
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	leaf := pair.Leaf
	var names []string
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	named := func(n string) bool { return n == name || (strings.HasSuffix(name, "/") && strings.HasPrefix(n, name)) }
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	left := leaf.NotAfter.Sub(now)
	switch {
	case err != nil:
		e.note(check, broken, mend, "%v", err)
	case !slices.ContainsFunc(names, named):
		e.note(check, broken, mend, "it must carry the name %s and carries %q", name, names)
	case left < certificateDoubtful:
		e.note(check, doubtful, "see why it was not renewed", "it ends on %s", leaf.NotAfter.Format(time.DateOnly))
	default:
		e.note(check, fine, "", "%s until %s", strings.Join(names, ", "), leaf.NotAfter.Format(time.DateOnly))
	}
}
