package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
)

func TestEndOf_IsWhenACredentialStopsWorking(t *testing.T) {
	t.Parallel()
	k := &partnersv1.Credential{ExpiresAt: timestamppb.New(time.Date(2027, time.February, 20, 9, 0, 0, 0, time.UTC))}
	require.Equal(t, "2027-02-20", endOf(k))
	k.RevokedAt = timestamppb.New(time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC))
	require.Equal(t, "2026-11-23T09:00:00Z", endOf(k))
}
