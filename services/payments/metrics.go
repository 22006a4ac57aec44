package payments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// countEvery is how often runs and schedules are counted, addEvery how often the ledger is added up, which reads all of it.
	countEvery = 30 * time.Second
	addEvery   = 5 * time.Minute
	// countLimit bounds either.
	countLimit = 4 * time.Second
	// figuresTopic is what one process at a time leads in: the figures are the database's, and one need count them.
	figuresTopic = "figures"
)

// counted is what was counted last.
type counted struct {
	imbalance money.Pence
	added     time.Time // when the ledger was added up; zero if that did not succeed
	tried     time.Time // when it was last tried
	runs      []store.RunsIn
	closed    []store.ClosedIn
	months    []string  // those that closed counts, in the order of monthNames
	at        time.Time // when runs and schedules were counted; zero if that did not succeed
}

// monthNames are the months whose schedules are counted: the one under way and the two before it.
var monthNames = []string{"current", "previous", "before_previous"}

// Watch counts runs, schedules and the ledger now and then while this process alone leads in that, and has the meter tell what came of it.
// It returns when the context ends.
func (s *Service) Watch(ctx context.Context) error {
	var last atomic.Pointer[counted]
	if err := s.instrument(&last); err != nil {
		return err
	}
	for ctx.Err() == nil {
		err := s.db.Lead(ctx, figuresTopic, func(ctx context.Context) error { return s.count(ctx, &last) })
		last.Store(nil) // another process may lead now, and two must not tell different things
		if err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "runs and ledger are not counted", "error", err)
		}
		pause(ctx, countEvery)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// count counts until the context ends. What cannot be counted is left out until it can.
func (s *Service) count(ctx context.Context, last *atomic.Pointer[counted]) error {
	now := new(counted)
	for ctx.Err() == nil {
		next := *now
		if err := s.recount(ctx, &next); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "runs and ledger are not counted", "error", err)
		}
		now = &next
		last.Store(now)
		pause(ctx, countEvery)
	}
	return nil
}

func (s *Service) recount(ctx context.Context, next *counted) error {
	now := s.db.Now()
	limited, cancel := context.WithTimeout(ctx, countLimit)
	defer cancel()
	next.at = time.Time{}
	first := period.DateOf(now).Month()
	next.months = []string{first.String(), first.Add(-1).String(), first.Add(-2).String()}
	err := s.db.Read(limited, func(q sqldb.Querier) (err error) {
		if next.runs, err = store.RunsByState(limited, q); err != nil {
			return fmt.Errorf("count runs: %w", err)
		}
		if next.closed, err = store.ClosedByFund(limited, q, next.months); err != nil {
			return fmt.Errorf("count schedules: %w", err)
		}
		next.at = now
		return nil
	})
	// A ledger that takes too long to add up is not tried sooner for that: each attempt reads all of it.
	if now.Sub(next.tried) < addEvery {
		return err
	}
	next.tried, next.added = now, time.Time{}
	limited, cancel = context.WithTimeout(ctx, countLimit)
	defer cancel()
	return errors.Join(err, s.db.Read(limited, func(q sqldb.Querier) (err error) {
		if next.imbalance, err = store.Imbalance(limited, q); err == nil {
			next.added = now
		}
		return err
	}))
}

// instrument makes the figures of what was counted last.
func (s *Service) instrument(last *atomic.Pointer[counted]) error {
	if s.meter == nil {
		return nil
	}
	var errs [4]error
	imbalance, err := s.meter.Int64ObservableGauge("ledger_imbalance_pence",
		metric.WithDescription("What all entries of the ledger add up to; anything but 0 is an alarm."))
	errs[0] = err
	runs, err := s.meter.Int64ObservableGauge("payment_runs", metric.WithDescription("Payment runs, by state."))
	errs[1] = err
	age, err := s.meter.Float64ObservableGauge("payment_runs_oldest_age_seconds",
		metric.WithDescription("How long the oldest run has been in its state, of the states that are not the end."))
	errs[2] = err
	closed, err := s.meter.Int64ObservableGauge("payment_schedule_commissioners",
		metric.WithDescription("Commissioners whose schedules have come, by fund, for the month under way and the two before."))
	errs[3] = err
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("make the figures of payments: %w", err)
	}
	_, err = s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := last.Load()
		if now == nil {
			return nil
		}
		if !now.added.IsZero() {
			o.ObserveInt64(imbalance, int64(now.imbalance))
		}
		if now.at.IsZero() {
			return nil
		}
		now.observeRuns(o, runs, age)
		now.observeClosed(o, closed)
		return nil
	}, imbalance, runs, age, closed)
	if err != nil {
		return fmt.Errorf("make the figures of payments: %w", err)
	}
	return nil
}

// underWay are the states in which a run waits for somebody.
var underWay = []paymentsv1.RunState{
	paymentsv1.RunState_RUN_STATE_ASSEMBLED, paymentsv1.RunState_RUN_STATE_SUBMITTED,
	paymentsv1.RunState_RUN_STATE_APPROVED, paymentsv1.RunState_RUN_STATE_EXPORTED,
}

// observeRuns tells of every state, 0 where no run is in it.
func (n *counted) observeRuns(o metric.Observer, runs metric.Int64Observable, age metric.Float64Observable) {
	in := make(map[paymentsv1.RunState]store.RunsIn)
	for _, found := range n.runs {
		in[found.State] = found
	}
	for number := range paymentsv1.RunState_name {
		state := paymentsv1.RunState(number)
		if state == paymentsv1.RunState_RUN_STATE_UNSPECIFIED {
			continue
		}
		of := metric.WithAttributes(attribute.String("state", stateName(state)))
		o.ObserveInt64(runs, in[state].Runs, of)
		if !slices.Contains(underWay, state) {
			continue
		}
		waited := time.Duration(0)
		if in[state].Since > 0 {
			waited = max(0, n.at.Sub(sqldb.FromMicros(in[state].Since)))
		}
		o.ObserveFloat64(age, waited.Seconds(), of)
	}
}

// observeClosed tells of every fund and month, 0 where no schedule has come: what is missing must show.
func (n *counted) observeClosed(o metric.Observer, closed metric.Int64Observable) {
	for _, f := range funds() {
		for i, month := range n.months {
			count := int64(0)
			for _, c := range n.closed {
				if c.Fund == int(f.code) && c.Month == month {
					count = c.Commissioners
				}
			}
			o.ObserveInt64(closed, count, metric.WithAttributes(attribute.String("fund", f.name), attribute.String("month", monthNames[i])))
		}
	}
}
