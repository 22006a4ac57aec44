package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// remindInterval is how often it is looked for what falls due; days count, so that an hour is soon.
const remindInterval = time.Hour

// remindersFor is for how many days after something fell due a reminder that was missed is still sent.
const remindersFor = 366

// defaultReminderDays are the days before something falls due on which a reminder is sent, unless the operator sets others.
var defaultReminderDays = []int{14, 1}

// due is a reminder whose time has come.
type due struct {
	store.Reminder
	commissioner string
	event        *registerv1.CalendarReminder
}

// Run sends reminders as their time comes, until the context ends.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(remindInterval)
	defer ticker.Stop()
	for {
		if _, err := s.Remind(ctx); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "reminders are not sent yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Remind sends the reminders whose time has come and that were not sent, and returns how many. Whoever else sends them at the same time,
// each is sent once; of those that were missed only the latest is sent.
func (s *Service) Remind(ctx context.Context) (int, error) {
	today := s.dayOf()
	items, failedItems := s.dueItems(ctx, today)
	requirements, failedRequirements := s.dueRequirements(ctx, today)
	byCommissioner := make(map[string][]due)
	for _, d := range append(items, requirements...) {
		byCommissioner[d.commissioner] = append(byCommissioner[d.commissioner], d)
	}
	total := 0
	failed := errors.Join(failedItems, failedRequirements)
	for _, commissioner := range slices.Sorted(maps.Keys(byCommissioner)) {
		n, err := s.send(ctx, commissioner, byCommissioner[commissioner])
		total += n
		failed = errors.Join(failed, err)
	}
	return total, failed
}

// send stores that reminders of one commissioner are sent, and their events, all at once.
func (s *Service) send(ctx context.Context, commissioner string, all []due) (sent int, err error) {
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		// Two processes take turns, so that the second finds what the first sent.
		if err := tx.Lock(ctx, "register/reminders"); err != nil {
			return err
		}
		var events []outbox.Event
		for _, d := range all {
			isNew, err := store.AddReminder(ctx, tx, d.Reminder)
			if err != nil {
				return fmt.Errorf("remind of %s: %w", d.Subject, err)
			}
			if isNew {
				events = append(events, outbox.Event{Aggregate: "reminders/" + orEngland(commissioner), CommissionerCode: commissioner, Message: d.event})
			}
		}
		if sent = len(events); sent == 0 {
			return nil
		}
		if _, err := outbox.AddAll(ctx, tx, events); err != nil {
			return err
		}
		return change.System(tx, seedActor, "reminders").Record(ctx, "register/reminders", commissioner, fmt.Sprintf("sent %d reminders", sent))
	})
	if err != nil {
		return 0, err
	}
	return sent, nil
}

// moment returns the reminder of what falls due on a day, if there is one to send.
func (s *Service) moment(falls, known, today period.Date) (rules.Moment, bool) {
	if falls.IsZero() || falls.AddDays(remindersFor).Before(today) {
		return rules.Moment{}, false
	}
	return rules.LatestMoment(falls, known, today, s.reminderDays)
}

// dueItems returns the reminders of items.
func (s *Service) dueItems(ctx context.Context, today period.Date) ([]due, error) {
	var out []due
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		items, err := store.Items(ctx, q, nil, nil)
		if err != nil {
			return err
		}
		out = nil
		var subjects []string
		for i := range items {
			item := plainItem(&items[i])
			state, falls, err := item.StandsOn(today, s.holidays)
			if err != nil {
				return err
			}
			at, found := s.moment(falls, item.Known, today)
			if !found || (state != rules.ItemOpen && state != rules.ItemLate) {
				continue
			}
			r := store.Reminder{Subject: calendarRecord(item.ID), Due: falls.String(), Moment: at.Key()}
			subjects = append(subjects, r.Subject)
			out = append(out, due{r, item.Commissioner, &registerv1.CalendarReminder{
				ItemId: item.ID, Title: item.Title, OwnerLevel: levelToProto(item.Level), OwnerCode: item.Owner, CommissionerCode: item.Commissioner,
				DueDate: r.Due, DaysBefore: int32(at.DaysBefore), Late: at.Late, //nolint:gosec // days
			}})
		}
		sent, err := store.Reminders(ctx, q, subjects)
		out = slices.DeleteFunc(out, func(d due) bool { return sent[d.Reminder] })
		return err
	})
	return out, err
}

// dueRequirements returns the reminders of requirements, for each PCN that has not delivered.
func (s *Service) dueRequirements(ctx context.Context, today period.Date) ([]due, error) {
	t, err := s.terms(ctx, "", "", everKnown)
	if err != nil {
		return nil, err
	}
	// The first look is at the requirements alone, so that PCNs are read only where one falls due.
	byYear := make(map[period.FinancialYear][]string)
	for _, id := range t.ids {
		if slices.ContainsFunc(t.versions[id], func(v store.RequirementVersion) bool {
			_, found := s.moment(v.LastDue(), period.DateOf(v.KnownFrom), today)
			return found
		}) {
			year := t.versions[id][0].Year
			byYear[year] = append(byYear[year], id)
		}
	}
	var out []due
	var failed error
	for _, year := range slices.Sorted(maps.Keys(byYear)) {
		of, err := s.dueOfYear(ctx, t, year, byYear[year], today)
		failed = errors.Join(failed, err)
		out = append(out, of...)
	}
	return out, failed
}

func (s *Service) dueOfYear(ctx context.Context, t *terms, year period.FinancialYear, ids []string, today period.Date) ([]due, error) {
	chosen := &selected{year: year, terms: &terms{ids: ids, versions: t.versions, plain: t.plain}, when: moments{on: today, known: everKnown}}
	var err error
	if _, chosen.when.position, err = s.knownAt(ctx, nil); err != nil {
		return nil, err
	}
	chosen.subjects, _, err = s.subjects(ctx, year, chosen.when, "")
	if fault.ReasonOf(err) == rules.ReasonMembershipNotLoaded {
		return nil, nil // nobody is known who could be reminded
	}
	if err != nil {
		return nil, err
	}
	leads, err := s.leads(ctx, chosen.when.position)
	if err != nil {
		return nil, err
	}
	var out []due
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		out = nil
		if chosen.steps, err = store.Steps(ctx, q, ids, nil, everKnown); err != nil {
			return err
		}
		subjects := make([]string, len(ids))
		for i, id := range ids {
			subjects[i] = requirementRecord(id)
		}
		sent, err := store.Reminders(ctx, q, subjects)
		if err != nil {
			return err
		}
		chosen.each(func(st standing) bool {
			r, at, found := s.momentOf(&st, today)
			if !found {
				return true
			}
			commissioner := cmp.Or(leads[st.of.code], st.of.payer)
			if sent[r] || commissioner == "" {
				return true
			}
			out = append(out, due{r, commissioner, &registerv1.CalendarReminder{
				RequirementId: st.version.ID, Title: st.version.Name + ": " + st.version.Phase, OwnerLevel: registerv1.OwnerLevel_PCN_LEVEL,
				OwnerCode: st.of.code, CommissionerCode: commissioner, DueDate: r.Due, DaysBefore: int32(at.DaysBefore), Late: at.Late, //nolint:gosec // days
			}})
			return true
		})
		return nil
	})
	return out, err
}

// momentOf returns the reminder of one requirement at one PCN, if there is one to send.
func (s *Service) momentOf(st *standing, today period.Date) (store.Reminder, rules.Moment, bool) {
	switch st.State {
	case rules.NotStarted, rules.Planned, rules.InProgress, rules.Withdrawn, rules.Overdue:
	default:
		return store.Reminder{}, rules.Moment{}, false
	}
	falls := st.version.LastDue()
	at, found := s.moment(falls, period.DateOf(st.version.KnownFrom), today)
	return store.Reminder{Subject: requirementRecord(st.version.ID), PCN: st.of.code, Due: falls.String(), Moment: at.Key()}, at, found
}

// leads returns the bodies that lead PCNs today, by PCN.
func (s *Service) leads(ctx context.Context, position int64) (map[string]string, error) {
	national, err := s.pictureToday(ctx, position)
	if err != nil || national == nil {
		return nil, err
	}
	out := make(map[string]string, len(national.PCNs))
	for i := range national.PCNs {
		out[national.PCNs[i].Code] = national.PCNs[i].Payer
	}
	return out, nil
}
