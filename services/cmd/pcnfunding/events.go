package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/outbox"
)

type eventsCommand struct {
	Rebuild eventsRebuildCommand `cmd:"" help:"Publish once more every event since a moment, from the database; for a stream that was lost."`
}

type eventsRebuildCommand struct {
	storage `embed:""`
	Service string    `arg:"" help:"register, core, arrs, iif, devfund, activity or payments." enum:"register,core,arrs,iif,devfund,activity,payments"`
	Since   time.Time `help:"Moment, such as 2026-01-01T00:00:00Z; without one, all that is kept."`
}

// Run puts the events back into the outbox; the relay of the running service publishes them.
func (e *eventsRebuildCommand) Run(ctx context.Context) (err error) {
	db, err := e.open(ctx, e.Service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n, err := outbox.ReemitSince(ctx, db, e.Since)
	if err == nil {
		fmt.Printf("%d events of %s wait to be published once more\n", n, e.Service)
	}
	return err
}
