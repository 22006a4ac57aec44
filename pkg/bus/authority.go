package bus

import (
	"fmt"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

// OpenAuthority returns what issues and revokes credentials of partners at a broker, and what ends its connection. A broker elsewhere
// needs the key file of partners and the credentials of the system user, both of which nats init writes; without the latter nothing
// can be revoked. An embedded broker needs neither.
func OpenAuthority(c Config, keyFile, systemCredentials string) (a *natsauth.Authority, end func(), err error) {
	if c.Server != nil {
		return c.Server.authority()
	}
	keys, err := os.ReadFile(keyFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, nil, fmt.Errorf("read the key file for partners: %w", err)
	}
	if systemCredentials == "" {
		a, err = natsauth.NewAuthority(keys, nil)
		return a, func() {}, err
	}
	c.User, c.CredentialsFile = natsauth.User{Name: natsauth.SystemUserName}, systemCredentials
	reach, err := c.reach()
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the broker: %w", err)
	}
	return authority(c.URL, keys, append(reach, nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort()))
}

// authority connects as the system user.
func authority(url string, keys []byte, reach []nats.Option) (a *natsauth.Authority, end func(), err error) {
	conn, err := nats.Connect(url, append(reach, nats.Name("pcnfunding authority"), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.CustomInboxPrefix(natsauth.InboxPrefix(natsauth.SystemUserName)))...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if a, err = natsauth.NewAuthority(keys, conn); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return a, conn.Close, nil
}
