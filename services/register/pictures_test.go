package register

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

func TestPicture_WaitingEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s := &Service{pictures: newPictures()}
	day := period.NewDate(2022, 4, 1)
	s.pictures.at(pictureKey{day, day, 1}).making <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.picture(ctx, day, day, 1)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPictures_KeepThoseUsedLast(t *testing.T) {
	t.Parallel()
	p := newPictures()
	key := func(position int64) pictureKey { return pictureKey{position: position} }
	first := p.at(key(0))
	for position := range int64(maxPictures) {
		p.at(key(position))
	}
	require.Same(t, first, p.at(key(0)))
	p.at(key(maxPictures))
	require.Len(t, p.held, maxPictures)
	require.Same(t, first, p.at(key(0)), "used again")
	require.NotContains(t, p.held, key(1), "used longest ago")
}
