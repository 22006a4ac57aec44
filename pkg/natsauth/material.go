package natsauth

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Keys and claims of a broker, by the names of their files.
const (
	operatorFile = "operator.jwt"

	operatorKey = "operator"         // names the signing key; kept away from the broker and the suite
	signingKey  = "operator-signing" // signs accounts
	systemKey   = "system"
	suiteKey    = "suite"
	partnersKey = "partners"
	issuingKey  = "partners-signing" // signs the users of partners
)

// SystemUserName is the user that may read and change the account of partners.
const SystemUserName = "system"

// ErrExists is the answer of Create where there are keys already.
var ErrExists = errors.New("there are keys already; to lose them would shut every client out")

// Material is the keys and accounts of one broker, kept in a folder. It is safe for concurrent use.
type Material struct {
	operator *jwt.OperatorClaims
	token    string                   // the operator's claims, signed
	keys     map[string]nkeys.KeyPair // by the names above
	public   map[string]string
}

// Create makes the keys of a broker and writes them into dir, readable by their owner only. A folder that has keys is refused with
// ErrExists.
func Create(dir string) (*Material, error) {
	if _, err := os.Stat(filepath.Join(dir, operatorFile)); err == nil {
		return nil, fmt.Errorf("make keys in %s: %w", dir, ErrExists)
	}
	m := &Material{keys: make(map[string]nkeys.KeyPair), public: make(map[string]string)}
	for name, prefix := range prefixes() {
		pair, err := nkeys.CreatePair(prefix)
		if err == nil {
			err = m.add(name, pair)
		}
		if err != nil {
			return nil, fmt.Errorf("make keys: %w", err)
		}
	}
	m.operator = jwt.NewOperatorClaims(m.public[operatorKey])
	m.operator.Name = "pcnfunding"
	m.operator.SystemAccount = m.public[systemKey]
	m.operator.SigningKeys.Add(m.public[signingKey])
	var err error
	if m.token, err = m.operator.Encode(m.keys[operatorKey]); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if err := m.write(dir); err != nil {
		return nil, fmt.Errorf("keep the keys: %w", err)
	}
	return m, nil
}

// Open reads what Create wrote.
func Open(dir string) (*Material, error) {
	m := &Material{keys: make(map[string]nkeys.KeyPair), public: make(map[string]string)}
	token, err := os.ReadFile(filepath.Join(dir, operatorFile)) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("read the broker's keys: %w", err)
	}
	m.token = string(token)
	if m.operator, err = jwt.DecodeOperatorClaims(m.token); err != nil {
		return nil, fmt.Errorf("read the broker's keys: %s: %w", operatorFile, err)
	}
	for name, prefix := range prefixes() {
		seed, err := os.ReadFile(seedFile(dir, name))
		if name == operatorKey && errors.Is(err, fs.ErrNotExist) {
			continue // it is kept elsewhere, as it should be
		}
		if err != nil {
			return nil, fmt.Errorf("read the broker's keys: %w", err)
		}
		pair, err := fromSeed(seed, prefix)
		if err == nil {
			err = m.add(name, pair)
		}
		if err != nil {
			return nil, fmt.Errorf("read the broker's keys: %s: %w", name, err)
		}
	}
	return m, nil
}

// OpenOrCreate opens the keys in dir, and makes them at the first use.
func OpenOrCreate(dir string) (*Material, error) {
	if _, err := os.Stat(filepath.Join(dir, operatorFile)); errors.Is(err, fs.ErrNotExist) {
		return Create(dir)
	}
	return Open(dir)
}

func prefixes() map[string]nkeys.PrefixByte {
	return map[string]nkeys.PrefixByte{
		operatorKey: nkeys.PrefixByteOperator, signingKey: nkeys.PrefixByteOperator,
		systemKey: nkeys.PrefixByteAccount, suiteKey: nkeys.PrefixByteAccount,
		partnersKey: nkeys.PrefixByteAccount, issuingKey: nkeys.PrefixByteAccount,
	}
}

func seedFile(dir, name string) string { return filepath.Join(dir, "keys", name+".seed") }

// fromSeed reads a seed, which must be of the kind wanted.
func fromSeed(seed []byte, want nkeys.PrefixByte) (nkeys.KeyPair, error) {
	kind, _, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, err
	}
	if kind != want {
		return nil, fmt.Errorf("it is a key of %s, and one of %s is needed", kind, want)
	}
	return nkeys.FromSeed(seed)
}

func (m *Material) add(name string, pair nkeys.KeyPair) error {
	public, err := pair.PublicKey()
	m.keys[name], m.public[name] = pair, public
	return err
}

// write keeps the keys; the operator's claims come last, so that a folder which has them is complete.
func (m *Material) write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		seed, err := m.keys[name].Seed()
		if err != nil {
			return err
		}
		if err := os.WriteFile(seedFile(dir, name), seed, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, operatorFile), []byte(m.token), 0o600)
}

// Operator returns the operator's claims as the broker trusts them, and in their signed form.
func (m *Material) Operator() (claims *jwt.OperatorClaims, token string) { return m.operator, m.token }

// SystemAccount returns the public key of the broker's own account, which is also its name at the broker.
func (m *Material) SystemAccount() string { return m.public[systemKey] }

// SuiteAccount returns that of the account of the services and their streams.
func (m *Material) SuiteAccount() string { return m.public[suiteKey] }

// Accounts returns the claims of the accounts by public key, signed now, without anything that was revoked. They are for a broker that
// has none: servers take the newer of two, and would forget what they had revoked.
func (m *Material) Accounts() (map[string]string, error) {
	system := jwt.NewAccountClaims(m.public[systemKey])
	system.Name = "SYSTEM"
	system.Limits.DisallowBearer = true
	out := make(map[string]string)
	for _, claims := range append(accounts(m.public[suiteKey], m.public[partnersKey], m.public[issuingKey]), system) {
		token, err := sign(claims, m.keys[signingKey])
		if err != nil {
			return nil, err
		}
		out[claims.Subject] = token
	}
	return out, nil
}

// accounts returns what the accounts of the suite and of its partners are to be, by their public keys and that of the key that signs
// credentials of partners.
func accounts(suiteKey, partnersKey, issuingKey string) []*jwt.AccountClaims {
	suite := jwt.NewAccountClaims(suiteKey)
	suite.Name = "SUITE"
	suite.Limits.JetStreamLimits = jwt.JetStreamLimits{
		DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
	}
	partners := jwt.NewAccountClaims(partnersKey)
	partners.Name = "PARTNERS"
	partners.SigningKeys.Add(issuingKey)
	partners.Limits.LeafNodeConn = 0
	for _, call := range exported() {
		suite.Exports.Add(&jwt.Export{Name: call.name, Subject: jwt.Subject(call.subject), Type: jwt.Service, ResponseType: call.response})
		partners.Imports.Add(&jwt.Import{
			Name: call.name, Account: suiteKey, Subject: jwt.Subject(call.subject), Type: jwt.Service, LocalSubject: jwt.RenamingSubject(call.local),
		})
	}
	suite.Limits.DisallowBearer, partners.Limits.DisallowBearer = true, true
	return []*jwt.AccountClaims{suite, partners}
}

// sign returns the signed form of an account that is as it should be.
func sign(claims *jwt.AccountClaims, by nkeys.KeyPair) (string, error) {
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	if err := errors.Join(results.Errors()...); err != nil {
		return "", fmt.Errorf("make account %s: %w", claims.Name, err)
	}
	token, err := claims.Encode(by)
	if err != nil {
		return "", fmt.Errorf("make account %s: %w", claims.Name, err)
	}
	return token, nil
}

// call is one that partners may make in the account of the suite, and its name on their side.
type call struct {
	name, subject, local string
	response             jwt.ResponseType
}

func exported() []call {
	return []call{
		{"describe a consumer", suiteAPI + ".CONSUMER.INFO.*.*", partnerAPI + ".CONSUMER.INFO.$1.$2", jwt.ResponseTypeSingleton},
		{"fetch", suiteAPI + ".CONSUMER.MSG.NEXT.*.*", partnerAPI + ".CONSUMER.MSG.NEXT.$1.$2", jwt.ResponseTypeStream},
		{"acknowledge", "$JS.ACK.*.*.>", "", jwt.ResponseTypeSingleton},
	}
}

// Credentials makes a new key for a user of the suite and returns the content of its .creds file. It does not expire.
func (m *Material) Credentials(u User) ([]byte, error) {
	err := u.check()
	p := u.permissions()
	if err == nil && !u.Unbounded && len(p.Pub.Allow) == 0 { // without any permission of its own a user would have all
		err = errors.New("it may do nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("make credentials of %s: %w", u.Name, err)
	}
	creds, _, err := issue(m.keys[suiteKey], func(claims *jwt.UserClaims) { claims.Name, claims.Permissions = u.Name, p })
	if err != nil {
		return nil, fmt.Errorf("make credentials of %s: %w", u.Name, err)
	}
	return creds, nil
}

// SystemUser returns the content of a .creds file whose user may read and change the accounts of the suite and of partners, for Authority.Declare
// and Authority.Revoke.
// Replies come under InboxPrefix(SystemUserName).
func (m *Material) SystemUser() ([]byte, error) {
	creds, _, err := issue(m.keys[systemKey], func(claims *jwt.UserClaims) {
		claims.Name = SystemUserName
		claims.Pub.Allow.Add(claimsUpdate, fmt.Sprintf(claimsLookup, m.public[partnersKey]), fmt.Sprintf(claimsLookup, m.public[suiteKey]))
		claims.Sub.Allow.Add(InboxPrefix(SystemUserName) + ".>")
	})
	if err != nil {
		return nil, fmt.Errorf("make credentials of %s: %w", SystemUserName, err)
	}
	return creds, nil
}

// AuthorityKeys returns the content of the key file for NewAuthority.
func (m *Material) AuthorityKeys() ([]byte, error) {
	issue, err := m.keys[issuingKey].Seed()
	if err != nil {
		return nil, err
	}
	revoke, err := m.keys[signingKey].Seed()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `# Keys of the service partners at the broker: whoever reads them can let anybody in. Keep them secret.
suite %s
account %s
# Signs the credentials of partners.
issue %s
# Signs accounts, which declaring them and revoking a credential take. Without this line credentials can be issued and not revoked.
revoke %s
`, m.public[suiteKey], m.public[partnersKey], issue, revoke), nil
}
