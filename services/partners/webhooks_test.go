package partners_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// receiver is a webhook's other end: it answers with a status, and keeps what came.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	answer func(*http.Request) int
	got    []request
}

type request struct {
	header http.Header
	body   []byte
}

// listen starts a receiver, and has the service believe its certificate.
func (s *suite) listen(t testing.TB, answer func(*http.Request) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.got = append(r.got, request{req.Header, body})
		answer := r.answer
		r.mu.Unlock()
		w.WriteHeader(answer(req))
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	if s.deps.Roots == nil {
		s.deps.Roots = x509.NewCertPool()
	}
	s.deps.Roots.AddCert(r.Certificate())
	s.restart()
	return r
}

// restart makes the service anew over the same database, as after a crash.
func (s *suite) restart() { s.service = partners.New(s.deps) }

func (r *receiver) ids() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.got {
		out = append(out, g.header.Get("webhook-id"))
	}
	return out
}

func (r *receiver) say(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status0(status)
}

func status0(status int) func(*http.Request) int { return func(*http.Request) int { return status } }

// send makes what is due.
func (s *suite) send(t testing.TB) {
	t.Helper()
	require.NoError(t, s.service.SendDue(t.Context()))
}

func TestWebhook_GetsWhatItWantsSigned(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(204))
		p := s.partner(t, allOfCore)
		hook := s.hook(t, p, r.URL+"/hook", rateAdded)
		require.True(t, strings.HasPrefix(hook.GetSecret(), "whsec_"))
		own, national := s.tell(t, "QWE", "rate/QWE/a", 7), s.tell(t, "england", "rate/england/a", 3)
		s.tell(t, "QHM", "rate/QHM/a", 1)
		setting := event(t, "setting", "setting/QWE", 1, "QWE", &corev1.SettingChanged{})
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{setting}))
		s.send(t)
		require.ElementsMatch(t, []string{own, national}, r.ids(), "neither another commissioner's nor another type")
		verifier, err := standardwebhooks.NewWebhook(hook.GetSecret())
		require.NoError(t, err)
		for _, got := range r.got {
			require.NoError(t, verifier.VerifyIgnoringTimestamp(got.body, got.header))
			var body map[string]any
			require.NoError(t, json.Unmarshal(got.body, &body))
			id, commissioner := got.header.Get("webhook-id"), "QWE"
			aggregate, sequence := "rate/QWE/a", "7"
			if id == national {
				commissioner, aggregate, sequence = "england", "rate/england/a", "3"
			}
			rate, _ := body["data"].(map[string]any)["rate"].(map[string]any)
			require.Equal(t, id, rate["rate_id"])
			delete(body, "data")
			require.Equal(t, map[string]any{
				"specversion": "1.0", "id": id, "source": "/pcnfunding/core", "type": rateAdded, "subject": aggregate, "sequence": sequence,
				"time": testkit.Start.Format(time.RFC3339Nano), "commissioner": commissioner, "datacontenttype": "application/json",
			}, body)
			require.Equal(t, "application/cloudevents+json; charset=utf-8", got.header.Get("Content-Type"))
		}
		for _, d := range s.deliveries(t, hook.GetWebhook().GetWebhookId()) {
			require.Equal(t, partnersv1.DeliveryState_DELIVERY_DELIVERED, d.GetState())
			require.Len(t, d.GetAttempts(), 1)
			require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED, d.GetAttempts()[0].GetOutcome())
		}
		s.send(t)
		require.Len(t, r.ids(), 2, "nothing is left")
	})
}

func TestWebhook_TriesAgainAfterPausesThatGrow(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(500))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		id := s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		s.send(t)
		require.Len(t, r.ids(), 1, "not before the pause is over")
		d := s.deliveries(t, hook)[0]
		require.Equal(t, partnersv1.DeliveryState_DELIVERY_WAITING, d.GetState())
		require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_SERVER_ERROR, d.GetAttempts()[0].GetOutcome())
		require.Equal(t, d.GetNextAt().AsTime(), d.GetAttempts()[0].GetNextAt().AsTime())
		require.NotNil(t, s.state(t, hook).GetFailingSince())
		s.restart() // what is due stands in the database
		s.clock.Advance(6 * time.Second)
		r.say(200)
		s.send(t)
		require.Equal(t, []string{id, id}, r.ids(), "the same id each time")
		require.Equal(t, partnersv1.DeliveryState_DELIVERY_DELIVERED, s.deliveries(t, hook)[0].GetState())
		require.Nil(t, s.state(t, hook).GetFailingSince())
	})
}

func TestWebhook_IsGivenUpAndThenDisabled(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(500))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		s.tell(t, "QWE", "rate/QWE/a", 1)
		for range 12 {
			s.send(t)
			s.clock.Advance(27 * time.Hour)
		}
		s.send(t)
		d := s.deliveries(t, hook)[0]
		require.Len(t, r.ids(), len(d.GetAttempts()))
		require.Equal(t, partnersv1.WebhookState_WEBHOOK_DISABLED, s.state(t, hook).GetState())
		require.Equal(t, partnersv1.DisabledCause_DISABLED_AFTER_FAILURES, s.state(t, hook).GetDisabledCause())
		require.Less(t, len(d.GetAttempts()), 8, "five days of a day and more each")
		require.Contains(t, s.everything(t), "which has accepted nothing since")
		waits := s.tell(t, "QWE", "rate/QWE/b", 1)
		s.send(t)
		require.NotContains(t, r.ids(), waits, "nothing is sent while it is disabled")
		require.EqualValues(t, 2, s.state(t, hook).GetWaiting())
		r.say(200)
		_, err := s.partners.SetWebhookState(s.as(t, testkit.Approver("QWE")), &partnersv1.SetWebhookStateRequest{
			RequestId: s.next(), WebhookId: hook, State: partnersv1.WebhookState_WEBHOOK_ACTIVE, Reason: "mended",
		})
		require.NoError(t, err)
		s.clock.Advance(27 * time.Hour)
		s.send(t)
		require.Contains(t, r.ids(), waits, "and nothing was lost")
		require.Zero(t, s.state(t, hook).GetWaiting())
	})
}

func TestWebhook_GivesAnEventUpAfterItsLastAttempt(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		r := s.listen(t, func(req *http.Request) int {
			if req.Header.Get("webhook-id") == "event-1" {
				return 400
			}
			return 200
		})
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		s.tell(t, "QWE", "rate/QWE/a", 1)
		behind := s.tell(t, "QWE", "rate/QWE/a", 2)
		for i := range 12 {
			s.tell(t, "QWE", "rate/QWE/b", int64(i+1)) // so that something is accepted in between
			for range 3 {                              // one that fails gets one request at a time
				s.send(t)
			}
			require.Equal(t, i == 11, slices.Contains(r.ids(), behind), "it follows one of the same aggregate")
			s.clock.Advance(27 * time.Hour)
		}
		s.send(t)
		s.send(t)
		first := s.deliveries(t, hook)[0]
		require.Equal(t, partnersv1.DeliveryState_DELIVERY_GIVEN_UP, first.GetState())
		require.Len(t, first.GetAttempts(), 12)
		require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_CLIENT_ERROR, first.GetAttempts()[11].GetOutcome())
		require.Contains(t, r.ids(), behind)
		require.Equal(t, partnersv1.WebhookState_WEBHOOK_ACTIVE, s.state(t, hook).GetState())
	})
}

func TestWebhook_IsDisabledWhereTheReceiverIsGone(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(410))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		require.Equal(t, partnersv1.DisabledCause_DISABLED_AS_GONE, s.state(t, hook).GetDisabledCause())
	})
}

func TestWebhook_SendsNothingInside(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		s.deps.PrivateWebhooks = false
		s.restart()
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		require.Empty(t, r.ids())
		log := s.deliveries(t, hook)
		require.Len(t, log[0].GetAttempts(), 1)
		require.Equal(t, partnersv1.AttemptOutcome_ATTEMPT_ADDRESS_REFUSED, log[0].GetAttempts()[0].GetOutcome())
	})
}

// TestWebhook_OutlivesACrashWithinAnAttempt: an attempt whose end nobody saw is made again, and the receiver can tell by the id.
func TestWebhook_OutlivesACrashWithinAnAttempt(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		ctx, crash := context.WithCancel(t.Context())
		r := s.listen(t, func(req *http.Request) int {
			crash()
			<-req.Context().Done()
			return 200
		})
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		id := s.tell(t, "QWE", "rate/QWE/a", 1)
		require.NoError(t, s.service.SendDue(ctx))
		require.Empty(t, s.deliveries(t, hook)[0].GetAttempts())
		r.say(200)
		s.restart()
		s.send(t)
		require.Equal(t, []string{id, id}, r.ids())
		require.Len(t, s.deliveries(t, hook)[0].GetAttempts(), 1)
	})
}

// TestWebhook_ThatHangsHoldsUpNobody runs the loop itself, with two receivers of which one never answers.
func TestWebhook_ThatHangsHoldsUpNobody(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		over, came := make(chan struct{}), make(chan string, 100)
		slow := s.listen(t, func(req *http.Request) int {
			select {
			case <-over:
			case <-req.Context().Done():
			}
			return 200
		})
		fast := s.listen(t, func(req *http.Request) int {
			came <- req.Header.Get("webhook-id")
			return 200
		})
		p := s.partner(t, allOfCore)
		s.hook(t, p, slow.URL, allOfCore)
		s.hook(t, p, fast.URL, allOfCore)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.service.SendAll(ctx) }()
		var told []string
		for i := range 20 {
			id := s.tell(t, "QWE", "rate/QWE/"+string(rune('a'+i)), 1)
			told = append(told, id)
			require.Equal(t, id, <-came)
		}
		require.Len(t, told, 20)
		require.LessOrEqual(t, len(slow.ids()), 4, "no more than its share is under way")
		stop()
		close(over)
		require.NoError(t, <-ended)
	})
}

func TestWebhook_GetsNoMoreThanIsGranted(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		p := s.partner(t, rateAdded, settingChange)
		_, err := s.partners.AddWebhook(s.as(t, testkit.Approver("QWE")), &partnersv1.AddWebhookRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Url: r.URL, EventTypes: []string{allOfCore},
		})
		require.Equal(t, "EVENT_TYPE_NOT_GRANTED", refused(t, err))
		s.hook(t, p, r.URL, rateAdded)
		grant, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", EventTypes: []string{settingChange},
		})
		require.NoError(t, err)
		s.confirm(t, grant.GetGrantId())
		s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		require.Empty(t, r.ids(), "what was narrowed holds for webhooks there were")
	})
}

// TestWebhook_GetsNothingLateThatIsNotGrantedAnyMore: what waits, or can be asked for once more, was granted when it came.
func TestWebhook_GetsNothingLateThatIsNotGrantedAnyMore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		p := s.partner(t, rateAdded, settingChange)
		hook := s.hook(t, p, r.URL, rateAdded, settingChange).GetWebhook().GetWebhookId()
		sent := s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		s.tell(t, "QWE", "rate/QWE/b", 1)
		grant, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", EventTypes: []string{settingChange},
		})
		require.NoError(t, err)
		s.confirm(t, grant.GetGrantId())
		s.send(t)
		require.Equal(t, []string{sent}, r.ids(), "what waited is not sent")
		log := s.deliveries(t, hook)
		require.Equal(t, partnersv1.DeliveryState_DELIVERY_CANCELLED, log[1].GetState())
		redeliver := func(req *partnersv1.RedeliverEventsRequest) (*partnersv1.RedeliverEventsResponse, error) {
			req.RequestId, req.WebhookId = s.next(), hook
			return s.partners.RedeliverEvents(s.as(t, testkit.Integration("QWE")), req)
		}
		_, err = redeliver(&partnersv1.RedeliverEventsRequest{DeliveryId: log[0].GetDeliveryId()})
		require.Equal(t, "EVENT_TYPE_NOT_GRANTED", refused(t, err))
		again, err := redeliver(&partnersv1.RedeliverEventsRequest{Since: s.in(-1)})
		require.NoError(t, err)
		require.Zero(t, again.GetEvents())
		s.send(t)
		require.Equal(t, []string{sent}, r.ids(), "nor what was sent before")
	})
}

func TestWebhook_RotatesItsSecret(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore)
		req := &partnersv1.RotateWebhookSecretRequest{RequestId: s.next(), WebhookId: hook.GetWebhook().GetWebhookId(), OverlapHours: 24}
		rotated, err := s.partners.RotateWebhookSecret(s.as(t, testkit.Approver("QWE")), req)
		require.NoError(t, err)
		require.NotEqual(t, hook.GetSecret(), rotated.GetSecret())
		again, err := s.partners.RotateWebhookSecret(s.as(t, testkit.Approver("QWE")), req)
		require.NoError(t, err)
		require.Empty(t, again.GetSecret(), "it is told once")
		verifies := func(secret string) bool {
			verifier, err := standardwebhooks.NewWebhook(secret)
			require.NoError(t, err)
			last := r.got[len(r.got)-1]
			return verifier.VerifyIgnoringTimestamp(last.body, last.header) == nil
		}
		s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		require.True(t, verifies(hook.GetSecret()))
		require.True(t, verifies(rotated.GetSecret()))
		s.clock.Advance(25 * time.Hour)
		s.tell(t, "QWE", "rate/QWE/b", 1)
		s.send(t)
		require.False(t, verifies(hook.GetSecret()))
		require.True(t, verifies(rotated.GetSecret()))
		all := s.everything(t)
		for _, secret := range []string{hook.GetSecret(), rotated.GetSecret()} {
			require.NotContains(t, all, strings.TrimPrefix(secret, "whsec_"))
		}
		require.NotContains(t, all, "/hook", "the path of an address is nobody else's business")
	})
}

func TestWebhook_SealsAnewUnderTheFirstKey(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore)
		stored := func() (text string) {
			require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
				return q.QueryRow(t.Context(), `SELECT secret FROM webhooks`).Scan(&text)
			}))
			return text
		}
		renewed := partners.NewKey("new")
		use := func(text ...[]byte) {
			keys, err := partners.ParseKeys(bytes.Join(text, nil))
			require.NoError(t, err)
			s.deps.Keys = keys
			s.restart()
		}
		require.True(t, strings.HasPrefix(stored(), "test:"))
		use(renewed)
		require.ErrorContains(t, s.service.Upkeep(t.Context()), `there is no key "test"`)
		use(renewed, s.key)
		require.NoError(t, s.service.Upkeep(t.Context()))
		require.True(t, strings.HasPrefix(stored(), "new:"))
		use(renewed)
		s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		require.Len(t, r.ids(), 1)
		verifier, err := standardwebhooks.NewWebhook(hook.GetSecret())
		require.NoError(t, err)
		require.NoError(t, verifier.VerifyIgnoringTimestamp(r.got[0].body, r.got[0].header), "the secret is the same")
	})
}

func TestDeliveries_AreMadeOnceMore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		hook := s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore).GetWebhook().GetWebhookId()
		first := s.tell(t, "QWE", "rate/QWE/a", 1)
		s.send(t)
		s.clock.Advance(time.Hour)
		since := s.in(0)
		later := s.tell(t, "QWE", "rate/QWE/a", 2)
		s.send(t)
		redeliver := func(req *partnersv1.RedeliverEventsRequest) (int32, error) {
			req.RequestId, req.WebhookId = s.next(), hook
			out, err := s.partners.RedeliverEvents(s.as(t, testkit.Integration("QWE")), req)
			return out.GetEvents(), err
		}
		n, err := redeliver(&partnersv1.RedeliverEventsRequest{Since: since})
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		s.send(t)
		require.Equal(t, []string{first, later, later}, r.ids())
		d := s.deliveries(t, hook)[0]
		n, err = redeliver(&partnersv1.RedeliverEventsRequest{DeliveryId: d.GetDeliveryId()})
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		s.send(t)
		require.Equal(t, []string{first, later, later, first}, r.ids())
		require.Len(t, s.deliveries(t, hook)[0].GetAttempts(), 2, "the log keeps both")
		_, err = redeliver(&partnersv1.RedeliverEventsRequest{})
		require.Error(t, err, "neither")
		_, err = redeliver(&partnersv1.RedeliverEventsRequest{DeliveryId: d.GetDeliveryId(), Since: since})
		require.Error(t, err, "both")
		_, err = redeliver(&partnersv1.RedeliverEventsRequest{DeliveryId: "none"})
		require.Equal(t, "DELIVERY_NOT_FOUND", refused(t, err))
		s.clock.Advance(31 * 24 * time.Hour)
		require.NoError(t, s.service.Upkeep(t.Context()))
		_, err = redeliver(&partnersv1.RedeliverEventsRequest{DeliveryId: d.GetDeliveryId()})
		require.Equal(t, "PAYLOAD_NOT_KEPT", refused(t, err))
		require.Len(t, s.deliveries(t, hook), 2, "the log is kept longer")
		s.clock.Advance(396 * 24 * time.Hour)
		require.NoError(t, s.service.Upkeep(t.Context()))
		require.Empty(t, s.deliveries(t, hook))
	})
}

func TestWebhook_TakesAnEventOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := s.listen(t, status0(200))
		s.hook(t, s.partner(t, allOfCore), r.URL, allOfCore)
		d := event(t, "once", "rate/QWE/a", 1, "QWE", &corev1.RateAdded{})
		for range 3 {
			require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{d}))
		}
		s.send(t)
		require.Equal(t, []string{"once"}, r.ids())
	})
}

// A change of a webhook that was read before a delivery failed must not make it one that works.
func TestUpdateWebhook_LeavesHowItFares(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		hook := s.hook(t, s.partner(t, allOfCore), "https://a.example", allOfCore).GetWebhook()
		failing := s.clock.Now().UTC()
		require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			row, err := store.Webhook(t.Context(), tx, hook.GetWebhookId())
			require.NoError(t, err)
			_, err = store.SetFailing(t.Context(), tx, row.ID, sqldb.Micros(failing))
			require.NoError(t, err)
			return store.UpdateWebhook(t.Context(), tx, &row)
		}))
		list, err := s.partners.ListWebhooks(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListWebhooksRequest{})
		require.NoError(t, err)
		require.Equal(t, failing, list.GetWebhooks()[0].GetFailingSince().AsTime())
	})
}

func TestWebhook_RefusesAddresses(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		p := s.partner(t, allOfCore)
		for _, url := range []string{"http://a.example", "https://u@a.example", "https://a.example/?x=1", "https:///x", "https://a.example:port"} {
			_, err := s.partners.AddWebhook(s.as(t, testkit.Approver("QWE")), &partnersv1.AddWebhookRequest{
				RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Url: url, EventTypes: []string{allOfCore},
			})
			require.Error(t, err, url)
		}
		for range 10 {
			s.hook(t, p, "https://a.example", allOfCore)
		}
		_, err := s.partners.AddWebhook(s.as(t, testkit.Approver("QWE")), &partnersv1.AddWebhookRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Url: "https://a.example", EventTypes: []string{allOfCore},
		})
		require.Equal(t, "TOO_MANY", refused(t, err))
	})
}

func TestHeldEvents_AreReleasedOrDiscarded(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		unknown := event(t, "e1", "rate/QWE/a", 1, "QWE", &partnersv1.WebhookChanged{})
		broken := event(t, "e2", "rate/QWE/b", 1, "QWE", &corev1.RateAdded{})
		broken.Payload = []byte("\xff")
		require.Equal(t, []inbox.Verdict{inbox.Quarantined, inbox.Quarantined}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{unknown, broken}))
		list, err := s.partners.ListHeldEvents(s.as(t, testkit.Operator()), &partnersv1.ListHeldEventsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetEvents(), 2)
		for _, e := range list.GetEvents() {
			_, err := s.partners.ReleaseHeldEvent(s.as(t, testkit.Operator()), &partnersv1.ReleaseHeldEventRequest{RequestId: s.next(), EventId: e.GetEventId(), Reason: "look"})
			require.Equal(t, e.GetReason(), refused(t, err), "it still cannot be read")
			_, err = s.partners.DiscardHeldEvent(s.as(t, testkit.Operator()), &partnersv1.DiscardHeldEventRequest{RequestId: s.next(), EventId: e.GetEventId(), Reason: "look"})
			require.NoError(t, err)
		}
	})
}
