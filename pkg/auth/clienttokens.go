package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// assertionLife is the life of what a client signs to prove itself. It is used at once.
	assertionLife = 2 * time.Minute
	// renewEarly is how long before its end a token is no longer used, so that it does not end on the way.
	renewEarly = 30 * time.Second
	// assertionType is what RFC 7523 calls a signed JWT.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// minRSABits is the least length of a key that issuers take.
	minRSABits = 2048
)

// ClientOptions say how a program asks an issuer for tokens in its own name, by the client credentials of OAuth 2.
type ClientOptions struct {
	// Issuer is the address of the issuer, whose discovery document names its token endpoint. Required.
	Issuer string
	// ClientID is the name by which the issuer knows the program. Required.
	ClientID string
	// KeyFile holds the private key with which the program proves itself (private_key_jwt): a JSON Web Key, or PKCS #8 in PEM form, which
	// then goes by its thumbprint (RFC 7638). This or SecretFile is required.
	KeyFile string
	// SecretFile holds a secret that the issuer knows too.
	SecretFile string
	// Scopes are those to ask for; none leaves them to the issuer.
	Scopes []string
	// Clock tells the time. Required.
	Clock func() time.Time
}

// ClientTokens gives the tokens of a program to its calls: one until shortly before it ends, and then the next. It is safe for
// concurrent use.
type ClientTokens struct{ source oauth2.TokenSource }

// NewClientTokens reads the issuer's discovery document. Key and secret are read when a token is asked for, so that they can be
// replaced. The context bounds the set-up only.
func NewClientTokens(ctx context.Context, o ClientOptions) (*ClientTokens, error) {
	if o.Issuer == "" || o.ClientID == "" || o.Clock == nil || (o.KeyFile == "") == (o.SecretFile == "") {
		return nil, errors.New("ask for tokens: an issuer, a client id and either a key or a secret are needed")
	}
	if err := private(o.Issuer); err != nil {
		return nil, fmt.Errorf("ask %s for tokens: %w", o.Issuer, err)
	}
	// A redirect would carry the proof of who we are to somebody else.
	web := &http.Client{Timeout: issuerTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, web), o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer %s: %w", o.Issuer, err)
	}
	endpoint := provider.Endpoint().TokenURL
	if err := private(endpoint); err != nil {
		return nil, fmt.Errorf("ask %s for tokens: its token endpoint: %w", o.Issuer, err)
	}
	asking := &asking{ClientOptions: o, endpoint: endpoint, web: web}
	return &ClientTokens{source: oauth2.ReuseTokenSourceWithExpiry(nil, asking, renewEarly)}, nil
}

// Token returns a token that is good for half a minute at least, unless the issuer gives none that long. Errors never hold key,
// secret or token.
func (c *ClientTokens) Token(context.Context) (string, error) {
	token, err := c.source.Token()
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// private refuses an address to which a secret would travel in clear text, or at which anybody could say where it is to go.
func private(address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("read its address: %w", err)
	}
	ip := net.ParseIP(parsed.Hostname())
	if parsed.Scheme != "https" && parsed.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not https", address)
	}
	return nil
}

// asking asks for a token each time.
type asking struct {
	ClientOptions
	endpoint string
	web      *http.Client
}

// Token implements oauth2.TokenSource.
func (a *asking) Token() (*oauth2.Token, error) {
	config := clientcredentials.Config{ClientID: a.ClientID, TokenURL: a.endpoint, Scopes: a.Scopes}
	if a.KeyFile != "" {
		assertion, err := a.assertion()
		if err != nil {
			return nil, fmt.Errorf("sign as client %s: %w", a.ClientID, err)
		}
		config.AuthStyle = oauth2.AuthStyleInParams
		config.EndpointParams = url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	} else {
		secret, err := os.ReadFile(a.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("read the secret of client %s: %w", a.ClientID, err)
		}
		config.ClientSecret = strings.TrimSpace(string(secret))
	}
	token, err := config.Token(context.WithValue(context.Background(), oauth2.HTTPClient, a.web))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		// The library's own words repeat the answer, which may repeat what was sent.
		return nil, fmt.Errorf("the issuer %s gives client %s no token: %s %s", a.Issuer, a.ClientID, refused.Response.Status, refused.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for a token: %w", a.Issuer, err)
	}
	return token, nil
}

// assertion is a token that the client signs about itself, to be used once.
func (a *asking) assertion() (string, error) {
	text, err := os.ReadFile(a.KeyFile)
	if err != nil {
		return "", err
	}
	key, err := parseClientKey(text)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", a.KeyFile, err)
	}
	algorithm := jose.SignatureAlgorithm(key.Algorithm)
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader(jose.HeaderKey("kid"), key.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key.Key}, options)
	if err != nil {
		return "", fmt.Errorf("use %s with %s: %w", a.KeyFile, algorithm, err)
	}
	now := a.Clock()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: a.ClientID, Subject: a.ClientID, Audience: jwt.Audience{a.endpoint}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
}

// parseClientKey reads a private key with its name and algorithm.
func parseClientKey(text []byte) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if block, _ := pem.Decode(text); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return key, fmt.Errorf("no private key in PKCS #8 form: %w", err)
		}
		key.Key = parsed
	} else if err := key.UnmarshalJSON(text); err != nil {
		return key, errors.New("neither PEM nor a JSON Web Key") // the error of a parser may quote what it reads
	}
	algorithm, err := algorithmOf(key.Key)
	if err != nil {
		return key, err
	}
	if key.Algorithm == "" {
		key.Algorithm = string(algorithm)
	}
	if key.KeyID == "" {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			return key, fmt.Errorf("name the key: %w", err)
		}
		key.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	}
	return key, nil
}

// algorithmOf is the usual algorithm of a key that names none. It refuses what is no private key, or too short a one.
func algorithmOf(key any) (jose.SignatureAlgorithm, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return jose.ES256, nil
		case 384:
			return jose.ES384, nil
		}
		return "", fmt.Errorf("keys of the curve %s are not taken: P-256 or P-384", key.Curve.Params().Name)
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSABits {
			return "", fmt.Errorf("an RSA key of %d bits: at least %d are needed", key.N.BitLen(), minRSABits)
		}
		return jose.RS256, nil
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	default:
		return "", fmt.Errorf("%T is no private key that issuers take", key)
	}
}
