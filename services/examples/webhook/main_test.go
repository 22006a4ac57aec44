package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body   = `{"specversion":"1.0","id":"e1","type":"pcnfunding.core.v1.RateAdded","subject":"rate/QWE/a","sequence":"7","commissioner":"QWE","data":{}}`
)

// post sends a body under an id, signed at a time with a secret.
func post(t *testing.T, r *receiver, id, text, with string, at time.Time) int {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(with)
	require.NoError(t, err)
	signature, err := signer.Sign(id, at, []byte(text))
	require.NoError(t, err)
	req := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(text))
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code
}

func TestReceiver_TakesWhatIsSignedOnceAndInTime(t *testing.T) {
	t.Parallel()
	var got []event
	var fails error
	r, err := newReceiver(func(e event) error { got = append(got, e); return fails }, secret, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	require.NoError(t, err)
	now := time.Now()
	require.Equal(t, http.StatusUnauthorized, post(t, r, "e1", body, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", now), "another secret")
	require.Equal(t, http.StatusUnauthorized, post(t, r, "e1", body, secret, now.Add(-6*time.Minute)), "an old request")
	require.Equal(t, http.StatusUnauthorized, post(t, r, "e1", body, secret, now.Add(6*time.Minute)), "a clock that is ahead")
	require.Equal(t, http.StatusBadRequest, post(t, r, "e2", body, secret, now), "the id of another event")
	require.Empty(t, got)
	fails = errors.New("the disk is full")
	require.Equal(t, http.StatusInternalServerError, post(t, r, "e1", body, secret, now), "it is to come again")
	fails, got = nil, nil
	require.Equal(t, http.StatusNoContent, post(t, r, "e1", body, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", now), "either secret signs")
	require.Equal(t, http.StatusNoContent, post(t, r, "e1", body, secret, now))
	require.Len(t, got, 1, "the second is passed over")
	require.Equal(t, int64(7), got[0].Sequence)
	_, err = newReceiver(nil)
	require.Error(t, err)
}
