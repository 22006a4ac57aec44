package register

import (
	"context"
	"fmt"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// maxPictures bounds the national pictures kept in memory, each of some 5 MB: a close and what it looks back on most.
const maxPictures = 6

// pictureKey names a national picture: nothing else goes into it.
type pictureKey struct {
	day, reference period.Date
	position       int64
}

// picture is a national picture with the identifiers of the loads behind it.
type picture struct {
	*rules.National
	ids loadIDs
}

// pictures keeps the national pictures used last. Callers that want the same one at the same time wait for one reading.
type pictures struct {
	mu      sync.Mutex
	held    map[pictureKey]*heldPicture
	counter int64
}

type heldPicture struct {
	// making is full while the picture is read; made is nil until that has succeeded once.
	making chan struct{}
	made   *picture
	used   int64
}

func newPictures() *pictures { return &pictures{held: make(map[pictureKey]*heldPicture)} }

// at returns the place of a picture, making room for it.
func (p *pictures) at(key pictureKey) *heldPicture {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counter++
	found, ok := p.held[key]
	if !ok {
		found = &heldPicture{making: make(chan struct{}, 1)}
		p.held[key] = found
	}
	found.used = p.counter
	if len(p.held) > maxPictures {
		oldest := key
		for k, h := range p.held {
			if h.used < p.held[oldest].used {
				oldest = k
			}
		}
		delete(p.held, oldest)
	}
	return found
}

// picture returns the national picture of a day and a reference date, as loads up to a number tell it.
func (s *Service) picture(ctx context.Context, day, reference period.Date, position int64) (*picture, error) {
	held := s.pictures.at(pictureKey{day, reference, position})
	select {
	case held.making <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the picture of %s: %w", day, ctx.Err())
	}
	defer func() { <-held.making }()
	if held.made != nil {
		return held.made, nil
	}
	var facts rules.Facts
	var plan rules.Plan
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		loads, err := store.LoadsUpTo(ctx, q, position)
		if err != nil {
			return err
		}
		if plan, err = rules.Choose(loads, day); err != nil {
			return err
		}
		facts, err = store.ReadFacts(ctx, q, loads, plan, reference)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("picture of %s: %w", day, err)
	}
	held.made = &picture{National: rules.Picture(facts, plan, day, reference), ids: facts.Loads}
	return held.made, nil
}
