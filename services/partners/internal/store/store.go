// Package store keeps the tables of partners: partners with their grants, credentials and consumers, webhooks, events on their way to them,
// and the delivery log. One SQL text serves SQLite and Postgres. Times are microseconds since 1970, 0 for none. Whatever changes a partner or
// what it has holds the partner's lock; what the sender of webhooks notes are statements that each stand by themselves.
package store

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

//go:embed migrations/*.sql migrations/access.csv
var migrations embed.FS

// Migrations returns the numbered schema changes.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err)
	}
	return sub
}

// lines and list write and read a list of words, one a line.
func lines(words []string) string { return strings.Join(words, "\n") }

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func scope(text string) rules.Scope { return list(text) }

// in says what was being done when an error came.
func in(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Owner returns the partner that has it, and the commissioner under whom.
func (r *GrantRow) Owner() (partner, commissioner string) { return r.PartnerID, r.CommissionerCode }

// Owner returns the partner that has it, and the commissioner under whom.
func (r *CredentialRow) Owner() (partner, commissioner string) {
	return r.PartnerID, r.CommissionerCode
}

// Owner returns the partner that has it, and the commissioner under whom.
func (r *WebhookRow) Owner() (partner, commissioner string) { return r.PartnerID, r.CommissionerCode }
