package partners

import (
	"context"
	"errors"
)

// SendDue begins what is due, as the process that sends does, and waits for it.
func (s *Service) SendDue(ctx context.Context) error {
	r := s.newRound()
	err := r.begin(ctx)
	r.wg.Wait()
	return err
}

// SendAll sends until ctx ends.
func (s *Service) SendAll(ctx context.Context) error { return s.lead(ctx, webhookTopic, s.sendAll) }

// ApplyToBroker brings what was decided to the broker.
func (s *Service) ApplyToBroker(ctx context.Context, all bool) error {
	return errors.Join(s.cutOff(ctx, all), s.applyFeeds(ctx, all))
}
