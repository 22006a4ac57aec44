package natsauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	claimsUpdate = "$SYS.REQ.CLAIMS.UPDATE"
	claimsLookup = "$SYS.REQ.ACCOUNT.%s.CLAIMS.LOOKUP"
	// revokeAttempts is how often a revocation is read, and written unless it is there: of two at once, one can overwrite the other.
	revokeAttempts = 6
	// answerWait is how long the broker may take to answer one request.
	answerWait = 2 * time.Second

	// revokedKeep is how long a revocation is kept after its time: longer than any credential lives, for one that somebody else has made may
	// have the time when it was made.
	revokedKeep = 2 * 366 * 24 * time.Hour

	// partnerSubscriptions and partnerPayload bound what one connection of a partner may hold and send: it sends requests for messages
	// and acknowledgements only.
	partnerSubscriptions = 64
	partnerPayload       = 16 << 10
)

// ErrCannotRevoke is the answer of an authority whose keys let it issue only.
var ErrCannotRevoke = errors.New(
	"these keys do not revoke credentials: until they expire, remove their consumers, or revoke with the full key file of nats init")

// Grant is what one credential may do: fetch and acknowledge from its own durable consumers, and nothing else.
type Grant struct {
	Partner    string    // partner id, plain token
	Credential string    // credential id, plain token
	Durables   []Durable // consumers that the credential may fetch from
	Expires    time.Time
}

// Authority issues and revokes the credentials of partners. It is safe for concurrent use.
type Authority struct {
	suite   string        // public key of the account of the suite
	account string        // that of the account of partners
	issue   nkeys.KeyPair // signs users of that account
	revoke  nkeys.KeyPair // signs the account itself; nil if it cannot revoke
	system  *nats.Conn    // a connection in the system account; nil if it cannot revoke
}

// NewAuthority takes the content of a key file as Material.AuthorityKeys gives it, and a connection of the user of
// Material.SystemUser. Without either the operator's key in the file or the connection, Revoke returns ErrCannotRevoke.
func NewAuthority(keys []byte, system *nats.Conn) (*Authority, error) {
	a := &Authority{system: system}
	for line := range strings.Lines(string(keys)) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch {
		case what == "suite" && nkeys.IsValidPublicAccountKey(value):
			a.suite = value
		case what == "account" && nkeys.IsValidPublicAccountKey(value):
			a.account = value
		case what == "issue":
			a.issue, err = fromSeed([]byte(value), nkeys.PrefixByteAccount)
		case what == "revoke":
			a.revoke, err = fromSeed([]byte(value), nkeys.PrefixByteOperator)
		case what == "" || strings.HasPrefix(what, "#"):
		default:
			err = errors.New("a line is none of suite, account, issue and revoke with its key")
		}
		if err != nil {
			return nil, fmt.Errorf("read the key file for partners: %w", err)
		}
	}
	if a.suite == "" || a.account == "" || a.issue == nil {
		return nil, errors.New("read the key file for partners: it needs a line for suite, one for account and one for issue")
	}
	return a, nil
}

// Issue returns the content of a .creds file and the public key of its user, by which it is revoked.
func (a *Authority) Issue(g Grant) (creds []byte, publicKey string, err error) {
	if err := g.check(); err != nil {
		return nil, "", fmt.Errorf("issue credentials: %w", err)
	}
	p := jwt.Permissions{Sub: jwt.Permission{Allow: jwt.StringList{InboxPrefix(g.Credential) + ".>"}}}
	for _, d := range g.Durables {
		p.Pub.Allow.Add(d.fetch(partnerAPI)...)
	}
	creds, publicKey, err = issue(a.issue, func(claims *jwt.UserClaims) {
		claims.Name, claims.Expires, claims.IssuerAccount = g.Credential, g.Expires.Unix(), a.account
		claims.Permissions = p
		claims.Subs, claims.NatsLimits.Payload = partnerSubscriptions, partnerPayload
		claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket)
		claims.Tags.Add("partner:" + g.Partner)
	})
	if err != nil {
		return nil, "", fmt.Errorf("issue credentials: %w", err)
	}
	return creds, publicKey, nil
}

// issue makes a key pair for a user, and the .creds file that names it and what fill says of it, signed by an account.
func issue(by nkeys.KeyPair, fill func(*jwt.UserClaims)) (creds []byte, publicKey string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return nil, "", err
	}
	if publicKey, err = pair.PublicKey(); err != nil {
		return nil, "", err
	}
	claims := jwt.NewUserClaims(publicKey)
	fill(claims)
	token, err := claims.Encode(by)
	if err != nil {
		return nil, "", err
	}
	if len(token) > maxToken {
		return nil, "", fmt.Errorf("they come to %d bytes, and the broker takes %d: give them fewer consumers", len(token), maxToken)
	}
	creds, err = jwt.FormatUserConfig(token, seed)
	return creds, publicKey, err
}

func (g Grant) check() error {
	if g.Expires.IsZero() {
		return errors.New("they need an end")
	}
	if len(g.Durables) == 0 { // without any permission of its own a user would have all
		return errors.New("they need a consumer")
	}
	names := []string{g.Partner, g.Credential}
	for _, d := range g.Durables {
		names = append(names, d.Stream, d.Name)
	}
	return checkPlain(names...)
}

// Declare makes the accounts of the suite and of its partners at the broker what this release needs, where they are not there or otherwise;
// what was revoked stays so. With keys that do not sign accounts it leaves them as they are, and returns ErrCannotRevoke.
func (a *Authority) Declare(ctx context.Context) error {
	if a.revoke == nil || a.system == nil {
		return ErrCannotRevoke
	}
	issuing, err := a.issue.PublicKey()
	if err != nil {
		return fmt.Errorf("declare the accounts: %w", err)
	}
	for _, wanted := range accounts(a.suite, a.account, issuing) {
		if err := a.declare(ctx, wanted); err != nil {
			return fmt.Errorf("declare the account %s: %w", wanted.Name, err)
		}
	}
	return nil
}

func (a *Authority) declare(ctx context.Context, wanted *jwt.AccountClaims) error {
	answer, err := a.request(ctx, fmt.Sprintf(claimsLookup, wanted.Subject), nil)
	if err != nil {
		return err
	}
	if len(answer) > 0 { // the answer for an account that is not there is empty
		has, err := jwt.DecodeAccountClaims(string(answer))
		if err != nil {
			return err
		}
		wanted.Revocations = has.Revocations
		if same, err := alike(has, wanted, a.revoke); err != nil || same {
			return err
		}
	}
	return a.push(ctx, wanted)
}

// alike tells whether two accounts say the same, whenever they were signed.
func alike(has, wanted *jwt.AccountClaims, by nkeys.KeyPair) (bool, error) {
	token, err := sign(wanted, by) // signing fills in what is left out
	if err != nil {
		return false, err
	}
	signed, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return false, err
	}
	before, err := json.Marshal(has.Account)
	if err != nil {
		return false, err
	}
	after, err := json.Marshal(signed.Account)
	return has.Name == signed.Name && bytes.Equal(before, after), err
}

// Revoke makes the broker refuse a user from now on and cuts it off, also after restarts, until its credential ends by itself. It returns
// once the broker states the revocation itself; a server of a cluster that is away hears of it when it is back.
func (a *Authority) Revoke(ctx context.Context, publicKey string, ends time.Time) error {
	if a.revoke == nil || a.system == nil {
		return ErrCannotRevoke
	}
	if !nkeys.IsValidPublicUserKey(publicKey) {
		return fmt.Errorf("revoke credentials: %q is no public key of a user", publicKey)
	}
	var err error
	for range revokeAttempts {
		var done bool
		if done, err = a.tryRevoke(ctx, publicKey, ends); done {
			return nil
		}
		// A request can go down with the server that it was sent to.
		if err != nil && (!errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil) {
			break
		}
	}
	if err == nil {
		err = fmt.Errorf("after %d attempts the broker still does not state it: others change the account at once", revokeAttempts)
	}
	return fmt.Errorf("revoke credentials: %w", err)
}

// tryRevoke writes a revocation unless it is done already: the broker states it.
func (a *Authority) tryRevoke(ctx context.Context, publicKey string, ends time.Time) (done bool, err error) {
	claims, err := a.lookUp(ctx)
	if err != nil {
		return false, fmt.Errorf("read the account of partners: %w", err)
	}
	if claims.Revocations.IsRevoked(publicKey, ends) {
		return true, nil
	}
	// What ended long before the account was last signed is refused without being named. To keep it would let the account outgrow a message.
	for key, ended := range claims.Revocations {
		if time.Unix(ended, 0).Add(revokedKeep).Before(time.Unix(claims.IssuedAt, 0)) {
			claims.ClearRevocation(key)
		}
	}
	// Revoked is what was signed up to a time. That of the end lies behind the signing by any clock.
	claims.RevokeAt(publicKey, ends)
	if err := a.push(ctx, claims); err != nil {
		return false, fmt.Errorf("change the account of partners: %w", err)
	}
	return false, nil
}

// lookUp returns the account of partners as the broker has it.
func (a *Authority) lookUp(ctx context.Context) (*jwt.AccountClaims, error) {
	answer, err := a.request(ctx, fmt.Sprintf(claimsLookup, a.account), nil)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeAccountClaims(string(answer))
}

// push signs the account and gives it to every server.
func (a *Authority) push(ctx context.Context, claims *jwt.AccountClaims) error {
	token, err := claims.Encode(a.revoke)
	if err != nil {
		return err
	}
	answer, err := a.request(ctx, claimsUpdate, []byte(token))
	if err != nil {
		return err
	}
	var said struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	if said.Error != nil {
		return fmt.Errorf("the broker refuses: %s", said.Error.Description)
	}
	return nil
}

func (a *Authority) request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	answer, err := a.system.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}
