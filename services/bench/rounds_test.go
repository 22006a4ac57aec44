package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clients is how many callers there are at once.
const clients = 16

// warmUp is how long calls are made before they are counted.
const warmUp = 300 * time.Millisecond

// call makes one call as one of the clients.
type call func(ctx context.Context, client int) error

// measured is what one round of calls came to.
type measured struct {
	perSecond float64
	p99       float64 // seconds
}

// hammer has every client make one call after the other for a time.
func hammer(ctx context.Context, d time.Duration, do call) (measured, error) {
	var wg sync.WaitGroup
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	began := time.Now()
	for client := range clients {
		wg.Go(func() {
			for last := began; last.Sub(began) < d; {
				if errs[client] = do(ctx, client); errs[client] != nil {
					return
				}
				now := time.Now()
				took[client] = append(took[client], now.Sub(last))
				last = now
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	all := slices.Concat(took...)
	return measured{perSecond: float64(len(all)) / elapsed.Seconds(), p99: quantile(all, 0.99)}, errors.Join(errs...)
}

// takeTurns measures each of some calls in every round, after a round that warms up, and returns the rounds of each by name.
func takeTurns(b *testing.B, calls []named) map[string]rounds {
	b.Helper()
	out := make(map[string]rounds, len(calls))
	for _, c := range calls {
		_, err := hammer(b.Context(), warmUp, c.do)
		require.NoError(b, err, c.name)
	}
	for range chosen.rounds {
		for _, c := range calls {
			m, err := hammer(b.Context(), chosen.load, c.do)
			require.NoError(b, err, c.name)
			out[c.name] = append(out[c.name], m)
		}
	}
	return out
}

type named struct {
	name string
	do   call
}

// rounds are the rounds of one call.
type rounds []measured

func (r rounds) perSecond() []float64 {
	return pick(r, func(m measured) float64 { return m.perSecond })
}

func (r rounds) p99() float64 { return median(pick(r, func(m measured) float64 { return m.p99 })) }

func pick[T any](all []T, get func(T) float64) []float64 {
	out := make([]float64, len(all))
	for i := range all {
		out[i] = get(all[i])
	}
	return out
}

// seconds times some work.
func seconds(work func() error) (float64, error) {
	began := time.Now()
	err := work()
	return time.Since(began).Seconds(), err
}
