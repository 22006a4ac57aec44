package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// LocalIssuerName is the "iss" claim of tokens minted by a local issuer that was given no address of its own.
const LocalIssuerName = "urn:pcnfunding:local"

const (
	localKeyFile    = "local-issuer.key"
	localKeyPEMType = "PRIVATE KEY"
	// maxTTL bounds what a local issuer mints; an access token that lives longer than a day is a password.
	maxTTL = 24 * time.Hour
)

// LocalIssuer mints and verifies ES256 tokens with a key of its own, for a laptop, a test or a demonstration. It is an identity
// provider for whoever can read its key file, and never the production one. It is safe for concurrent use.
type LocalIssuer struct {
	key    *ecdsa.PrivateKey
	kid    string
	want   expectation
	clock  func() time.Time
	signer jose.Signer
	cache  *cache
}

// OpenLocalIssuer opens the issuer whose key lies in dir, and makes the key on first use. The file is readable by its owner
// only; a file that others may read is refused.
func OpenLocalIssuer(dir string, clock func() time.Time) (*LocalIssuer, error) {
	path := filepath.Join(dir, localKeyFile)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(dir, path); err != nil {
			return nil, fmt.Errorf("make the local issuer's key: %w", err)
		}
		key, err = readKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the local issuer's key: %w", err)
	}
	return NewLocalIssuer(key, clock)
}

// NewLocalIssuer makes an issuer of a P-256 key that the caller keeps.
func NewLocalIssuer(key *ecdsa.PrivateKey, clock func() time.Time) (*LocalIssuer, error) {
	public := jose.JSONWebKey{Key: key.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name the key: %w", err)
	}
	l := &LocalIssuer{
		key: key, kid: base64.RawURLEncoding.EncodeToString(sum), clock: clock,
		want: expectation{issuer: LocalIssuerName, audience: DefaultAudience}, cache: newCache(),
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader(jose.HeaderKey("kid"), l.kid)
	l.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("make a signer: %w", err)
	}
	return l, nil
}

// At returns the same issuer under another "iss" claim, such as the address its discovery document is served from.
func (l *LocalIssuer) At(issuer string) *LocalIssuer {
	out := *l
	out.want.issuer = issuer
	out.cache = newCache()
	return &out
}

// Issuer returns the "iss" claim of the tokens.
func (l *LocalIssuer) Issuer() string { return l.want.issuer }

// Mint signs a token for the principal that is valid from now for ttl, at most a day. The principal's own Token is ignored.
func (l *LocalIssuer) Mint(p Principal, ttl time.Duration) (string, error) {
	if p.Subject == "" {
		return "", errors.New("mint a token: the principal has no subject")
	}
	if ttl <= 0 || ttl > maxTTL {
		return "", fmt.Errorf("mint a token: a life of %s is not within 0 and %s", ttl, maxTTL)
	}
	token, err := jwt.Signed(l.signer).Claims(claimsOf(p, l.want, l.clock(), ttl)).Serialize()
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	return token, nil
}

// Verify implements Verifier for tokens of this issuer.
func (l *LocalIssuer) Verify(_ context.Context, token string) (Principal, error) {
	if err := checkShape(token); err != nil {
		return Principal{}, err
	}
	return l.cache.verify(token, l.clock(), func() (claims, error) {
		parsed, err := parseToken(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			return claims{}, err
		}
		if parsed.Signatures[0].Header.KeyID != l.kid {
			return claims{}, invalid("kid", "the token is signed with an unknown key")
		}
		payload, err := parsed.Verify(&l.key.PublicKey)
		if err != nil {
			return claims{}, invalid("signature", "the token's signature does not hold").Because(err)
		}
		c, err := parseClaims(payload)
		if err != nil {
			return claims{}, err
		}
		return c, c.check(l.want)
	})
}

// JWKS serves the public key as a JSON Web Key Set.
func (l *LocalIssuer) JWKS() http.Handler {
	return jsonHandler(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: l.key.Public(), KeyID: l.kid, Algorithm: string(jose.ES256), Use: "sig"},
	}})
}

// Discovery serves the OpenID discovery document and the key set under /.well-known/. It is of use only when the issuer's
// name is the address this handler is served from; see At.
func (l *LocalIssuer) Discovery() http.Handler {
	base := strings.TrimSuffix(l.want.issuer, "/")
	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/jwks.json", l.JWKS())
	mux.Handle("GET /.well-known/openid-configuration", jsonHandler(map[string]any{
		"issuer":                                l.want.issuer,
		"jwks_uri":                              base + "/.well-known/jwks.json",
		"authorization_endpoint":                base + "/authorize",
		"token_endpoint":                        base + "/token",
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
	}))
	return mux
}

func jsonHandler(document any) http.Handler {
	body, err := json.Marshal(document)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, "the document cannot be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // nobody is left to tell if the client has gone
	})
}

// createKey writes a new key beside its final name and links it there, so that of two processes that start together both read
// the same, whole key.
func createKey(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, localKeyFile+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	err = errors.Join(pem.Encode(file, &pem.Block{Type: localKeyPEMType, Bytes: der}), file.Chmod(0o600), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %o); it must be 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path) //nolint:gosec // the path is the operator's choice
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != localKeyPEMType {
		return nil, fmt.Errorf("%s holds no private key in PEM form", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s holds no P-256 key", path)
	}
	return key, nil
}
