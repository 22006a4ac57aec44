package register

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// dueItem is what the identifier of the due day of a requirement begins with, among items of the calendar.
const dueItem = "due-"

func calendarRecord(id string) string { return "calendar/" + id }

// plainItem returns an item as rules take it, and tells one that the program brought and nobody has touched.
func plainItem(c *store.ItemChange) rules.Item {
	item := c.Item
	item.Seeded = c.RecordedBy == seedActor
	return item
}

// viewer is whose requirements and calendar are read.
type viewer struct {
	by  auth.Principal
	all bool // answers for all of England
	// codes are the bodies that they answer for: those that they hold by name, those that these took over from, and the locations under them.
	codes map[string]bool
	pcns  map[string]bool // PCNs that they commission today
	under map[string]bool // bodies over these, and over the PCNs that they hold
}

// viewerOf returns who calls.
func (s *Service) viewerOf(ctx context.Context) (*viewer, error) {
	by, _ := auth.From(ctx)
	return s.viewer(ctx, by)
}

func (s *Service) viewer(ctx context.Context, by auth.Principal) (*viewer, error) {
	v := &viewer{by: by, all: by.HoldsEngland(), codes: make(map[string]bool), pcns: make(map[string]bool), under: make(map[string]bool)}
	if v.all {
		return v, nil
	}
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	before, err := s.predecessors(ctx, position)
	if err != nil {
		return nil, err
	}
	for _, code := range by.Commissioners {
		addWithPredecessors(v.codes, before, code)
	}
	national, err := s.pictureToday(ctx, position)
	if err != nil || national == nil {
		return v, err
	}
	for i := range national.PCNs {
		bodies := national.Bodies(&national.PCNs[i])
		// Of the bodies of a PCN each outranks those behind it: who holds a location does not answer for the ICB above it, which has others.
		from := slices.IndexFunc(bodies, by.HoldsCommissioner)
		if from >= 0 {
			v.pcns[national.PCNs[i].Code] = true
			for _, code := range bodies[from:] {
				v.codes[code] = true
			}
		}
		if from >= 0 || by.HoldsPCN(national.PCNs[i].Code) {
			for _, code := range bodies {
				v.under[code] = true
			}
		}
	}
	return v, nil
}

// goesBy tells whether what holds for a body concerns the viewer: for all of England, for one that they answer for, or one over their PCNs.
func (v *viewer) goesBy(code string) bool {
	return code == "" || v.all || v.codes[code] || v.under[code]
}

// sees tells whether an item is shown: one of all of England, of a body that the viewer answers for, of a PCN of theirs, or of every PCN of
// a body over these.
func (v *viewer) sees(item *rules.Item) bool {
	if item.Commissioner == "" || v.all || v.codes[item.Commissioner] {
		return true
	}
	return item.Level == rules.PCNLevel && (v.pcns[item.Owner] || v.by.HoldsPCN(item.Owner) || item.Owner == "" && v.under[item.Commissioner])
}

// alters tells whether the viewer may change an item.
func (v *viewer) alters(item *rules.Item) bool {
	if ofFinance(v.by) || v.by.HasRole(optionsv1.Role_ROLE_OPERATOR) {
		if v.all || item.Commissioner != "" && (v.codes[item.Commissioner] || item.Level == rules.PCNLevel && v.pcns[item.Owner]) {
			return true
		}
	}
	return item.Commissioner != "" && item.Level == rules.PCNLevel && speaksFor(v.by, item.Owner)
}

func itemUnknown(id string) *fault.Fault {
	return fault.New(fault.NotFound, rules.ReasonCalendarItemNotFound, "there is no item %q of the calendar that you may see", money.Clip(id)).With("item_id", money.Clip(id))
}

// entryKey orders rows by the day on which they fall due; those without a day come last.
func entryKey(falls period.Date, id string) string {
	return cmp.Or(falls.String(), "9999-99-99") + " " + id
}

// ListCalendarItems returns what is due in a period, by day.
func (s *Service) ListCalendarItems(ctx context.Context, req *registerv1.ListCalendarItemsRequest) (*registerv1.ListCalendarItemsResponse, error) {
	if err := holdsOr(ctx, req.GetCommissionerCode()); err != nil {
		return nil, err
	}
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	from, err := dateField("from_date", req.GetFromDate())
	if err != nil {
		return nil, err
	}
	to, err := dateField("to_date", req.GetToDate())
	if err != nil {
		return nil, err
	}
	on, err := dateField("on_date", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	if on.IsZero() {
		on = s.dayOf()
	}
	v, err := s.viewerOf(ctx)
	if err != nil {
		return nil, err
	}
	var of *viewer
	if code := req.GetCommissionerCode(); code != "" {
		if of, err = s.viewer(ctx, auth.Principal{Commissioners: []string{code}}); err != nil {
			return nil, err
		}
	}
	items, err := s.itemEntries(ctx, v, of, on)
	if err != nil {
		return nil, err
	}
	due, err := s.dueEntries(ctx, v, of)
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(append(items, due...), func(e calendarEntry) bool {
		return e.key <= after || (req.GetState() != 0 && e.state != req.GetState()) ||
			(req.GetOwnerLevel() != 0 && e.level != req.GetOwnerLevel()) ||
			(!from.IsZero() && e.falls.Before(from)) || (!to.IsZero() && (e.falls.IsZero() || e.falls.After(to)))
	})
	slices.SortFunc(rows, func(a, b calendarEntry) int { return cmp.Compare(a.key, b.key) })
	size := page.Size(req.GetPageSize(), defaultList)
	out := &registerv1.ListCalendarItemsResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(e calendarEntry) string { return e.key })
	for _, e := range rows {
		out.Items = append(out.Items, e.make())
	}
	return out, nil
}

// calendarEntry is one row of the calendar.
type calendarEntry struct {
	key   string
	falls period.Date
	state registerv1.CalendarState
	level registerv1.OwnerLevel
	make  func() *registerv1.CalendarItem
}

// itemEntries returns the items that a viewer sees, and that somebody else would see; nil means anybody.
func (s *Service) itemEntries(ctx context.Context, v, of *viewer, on period.Date) ([]calendarEntry, error) {
	var scope []string
	if !v.all {
		scope = append(sortedKeys(v.codes), sortedKeys(v.under)...)
	}
	var items []store.ItemChange
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		items, err = store.Items(ctx, q, scope, append(sortedKeys(v.pcns), v.by.PCNs...))
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]calendarEntry, 0, len(items))
	for i := range items {
		item := plainItem(&items[i])
		if !v.sees(&item) || (of != nil && !of.sees(&item)) {
			continue
		}
		state, falls, err := item.StandsOn(on, s.holidays)
		if err != nil {
			return nil, err
		}
		out = append(out, calendarEntry{
			entryKey(falls, item.ID), falls, itemStateToProto(state), levelToProto(item.Level),
			func() *registerv1.CalendarItem { return itemToProto(&items[i], &item, state, falls) },
		})
	}
	return out, nil
}

// dueEntries returns the days by which requirements must be delivered: those of all of England, and those of bodies that concern the viewer.
// Of the calendar of one commissioner the day of England is left out where it has its own.
func (s *Service) dueEntries(ctx context.Context, v, of *viewer) ([]calendarEntry, error) {
	t, err := s.terms(ctx, "", "", everKnown)
	if err != nil {
		return nil, err
	}
	var out []calendarEntry
	for _, id := range t.ids {
		own := make(map[string]store.RequirementVersion)
		for _, code := range t.bodies(id) {
			version, found := t.inForce(id, []string{code})
			if found && version.Commissioner == code && v.goesBy(code) && (of == nil || of.goesBy(code)) {
				own[code] = version
			}
		}
		if of != nil && slices.ContainsFunc(of.by.Commissioners, func(code string) bool { return own[code].ID != "" }) {
			delete(own, "")
		}
		for _, code := range slices.Sorted(maps.Keys(own)) {
			if !own[code].PutOff {
				out = append(out, dueEntry(own[code]))
			}
		}
	}
	return out, nil
}

func dueEntry(version store.RequirementVersion) calendarEntry {
	id, falls, state := dueItem+version.ID, version.LastDue(), registerv1.CalendarState_PER_PCN
	if falls.IsZero() {
		state = registerv1.CalendarState_UNDATED
	}
	return calendarEntry{
		entryKey(falls, id+" "+version.Commissioner), falls, state, registerv1.OwnerLevel_PCN_LEVEL,
		func() *registerv1.CalendarItem {
			return &registerv1.CalendarItem{
				ItemId: id, Title: version.Name + ": " + version.Phase, OwnerLevel: registerv1.OwnerLevel_PCN_LEVEL, CommissionerCode: version.Commissioner,
				DueDate: falls.String(), FallsDue: falls.String(), WorkingDayRule: registerv1.WorkingDayRule_AS_STATED, Evidence: version.Evidence, State: state,
				LinkedRecord: requirementRecord(version.ID), Source: version.Source, Confidence: working.ConfidenceToProto(version.Confidence),
				Reason: version.Reason, RecordedBy: version.RecordedBy, RecordedAt: timestamppb.New(version.KnownFrom), Missing: version.Missing(),
				Etag: strconv.FormatInt(version.Position, 10),
			}
		},
	}
}

// GetCalendarItem returns one item of the planning calendar with its history.
func (s *Service) GetCalendarItem(ctx context.Context, req *registerv1.GetCalendarItemRequest) (*registerv1.CalendarItem, error) {
	v, err := s.viewerOf(ctx)
	if err != nil {
		return nil, err
	}
	if id, due := strings.CutPrefix(req.GetItemId(), dueItem); due {
		return s.dueItem(ctx, v, id)
	}
	var history []store.ItemChange
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		history, err = store.ItemHistory(ctx, q, req.GetItemId())
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(history) == 0 || !v.sees(&history[len(history)-1].Item) {
		return nil, itemUnknown(req.GetItemId())
	}
	return s.itemWithHistory(history)
}

// dueItem returns the due day of a requirement: that of all of England, or where there is none, that of a body that concerns the viewer.
func (s *Service) dueItem(ctx context.Context, v *viewer, id string) (*registerv1.CalendarItem, error) {
	t, err := s.terms(ctx, id, "", everKnown)
	if err != nil {
		return nil, err
	}
	for _, code := range t.bodies(id) {
		if version, found := t.inForce(id, []string{code}); found && version.Commissioner == code && v.goesBy(code) {
			return dueEntry(version).make(), nil
		}
	}
	return nil, itemUnknown(dueItem + id)
}

func (s *Service) itemWithHistory(history []store.ItemChange) (*registerv1.CalendarItem, error) {
	last := &history[len(history)-1]
	item := plainItem(last)
	state, falls, err := item.StandsOn(s.dayOf(), s.holidays)
	if err != nil {
		return nil, err
	}
	out := itemToProto(last, &item, state, falls)
	for i := range history {
		c := &history[i]
		out.History = append(out.History, &registerv1.CalendarChange{
			Number: c.Number, State: itemStateToProto(c.State), CompletedDate: c.Completed.String(), Evidence: c.Evidence, Reason: c.Reason,
			RecordedBy: c.RecordedBy, RecordedAt: timestamppb.New(c.RecordedAt),
		})
	}
	return out, nil
}

// AddCalendarItem adds an item to the planning calendar.
func (s *Service) AddCalendarItem(ctx context.Context, req *registerv1.AddCalendarItemRequest) (*registerv1.CalendarItem, error) {
	if stored, found, err := change.Stored[*registerv1.CalendarItem](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	item, err := itemFromProto(req)
	if err != nil {
		return nil, err
	}
	if err := item.Check(s.holidays); err != nil {
		return nil, err
	}
	v, err := s.viewerOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.own(ctx, v, &item); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*registerv1.CalendarItem, error) {
		if id, linked := strings.CutPrefix(item.Linked, requirementRecord("")); linked {
			versions, err := store.Requirements(ctx, tx, id, "", everKnown)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(versions, func(of store.RequirementVersion) bool { return v.goesBy(of.Commissioner) }) {
				return nil, requirementUnknown(id)
			}
		}
		item.ID = "item-" + tx.NewID()
		return s.changeItem(ctx, tx, nil, item, fmt.Sprintf("added %q to the calendar", item.Title))
	})
}

// own settles whose item it is, and refuses who may not add it.
func (s *Service) own(ctx context.Context, v *viewer, item *rules.Item) error {
	if item.Level == rules.PCNLevel && item.Owner != "" {
		of, err := s.today(ctx, &subject{code: item.Owner})
		if err != nil {
			return err
		}
		theirs := v.all || speaksFor(v.by, item.Owner) || slices.ContainsFunc(of.bodies, v.by.HoldsCommissioner)
		if !theirs || of.payer == "" || (item.Commissioner != "" && !slices.Contains(of.bodies, item.Commissioner)) {
			return pcnUnknown(item.Owner)
		}
		item.Commissioner = cmp.Or(item.Commissioner, of.payer)
	}
	switch {
	case v.alters(item):
		return nil
	case item.Commissioner == "":
		return fault.New(fault.Denied, auth.ReasonEnglandRequired, "an item for all of England is added by who holds all of England").
			With("remedy", "name the commissioner_code")
	default:
		return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", money.Clip(item.Commissioner)).
			With("commissioner_code", money.Clip(item.Commissioner))
	}
}

// SettleCalendarItem says that an item is done or cancelled, or opens it again.
func (s *Service) SettleCalendarItem(ctx context.Context, req *registerv1.SettleCalendarItemRequest) (*registerv1.CalendarItem, error) {
	completed, err := dateField("completed_date", req.GetCompletedDate())
	if err != nil {
		return nil, err
	}
	v, err := s.viewerOf(ctx)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*registerv1.CalendarItem, error) {
		if err := tx.Lock(ctx, calendarRecord(req.GetItemId())); err != nil {
			return nil, err
		}
		history, err := store.ItemHistory(ctx, tx, req.GetItemId())
		if err != nil {
			return nil, err
		}
		if len(history) == 0 || !v.sees(&history[len(history)-1].Item) {
			return nil, itemUnknown(req.GetItemId())
		}
		last := history[len(history)-1]
		if !v.alters(&last.Item) {
			return nil, fault.New(fault.Denied, auth.ReasonRoleRequired, "the item is changed by those whose it is").With("item_id", last.ID)
		}
		if err := checkTag(req.GetEtag(), strconv.FormatInt(last.Number, 10)); err != nil {
			return nil, err
		}
		item, err := last.Settle(rules.ItemState(req.GetState().String()), completed, req.GetEvidence(), req.GetReason(), period.DateOf(tx.Now()))
		if err != nil {
			return nil, err
		}
		return s.changeItem(ctx, tx, history, item, fmt.Sprintf("made %q of the calendar %s", item.Title, item.State))
	})
}

// changeItem stores an item as a change leaves it, and tells of it.
func (s *Service) changeItem(ctx context.Context, tx *change.Tx, history []store.ItemChange, item rules.Item, summary string) (*registerv1.CalendarItem, error) {
	item.Known = period.DateOf(tx.Now())
	row := store.ItemChange{Item: item, Number: int64(len(history)) + 1, RecordedBy: tx.By.Subject, RecordedAt: tx.Now()}
	if err := store.AddItemChange(ctx, tx.Tx, row); err != nil {
		return nil, err
	}
	out, err := s.itemWithHistory(append(history, row))
	if err != nil {
		return nil, err
	}
	told, err := s.itemWithHistory([]store.ItemChange{row})
	if err != nil {
		return nil, err
	}
	told.History = nil
	if _, err := tx.Announce(ctx, calendarRecord(item.ID), item.Commissioner, &registerv1.CalendarItemChanged{Item: told}); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, calendarRecord(item.ID), item.Commissioner, summary)
}

// ListBankHolidays returns the bank holidays of England and Wales of a year.
func (s *Service) ListBankHolidays(_ context.Context, req *registerv1.ListBankHolidaysRequest) (*registerv1.ListBankHolidaysResponse, error) {
	days, err := s.holidays.Of(int(req.GetYear()))
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListBankHolidaysResponse{}
	for _, d := range days {
		out.Holidays = append(out.Holidays, &registerv1.BankHoliday{Date: d.Day.String(), Name: d.Name, Source: d.Source})
	}
	return out, nil
}

func itemFromProto(req *registerv1.AddCalendarItemRequest) (rules.Item, error) {
	item := rules.Item{
		Title: req.GetTitle(), Level: rules.Level(req.GetOwnerLevel().String()), Owner: strings.ToUpper(req.GetOwnerCode()),
		Commissioner: strings.ToUpper(req.GetCommissionerCode()), Rule: rules.NextWorking, Evidence: req.GetEvidence(), Linked: req.GetLinkedRecord(),
		Source: req.GetSource(), Confidence: working.ConfidenceFromProto(req.GetConfidence()), State: rules.ItemOpen,
	}
	if req.GetWorkingDayRule() != registerv1.WorkingDayRule_WORKING_DAY_RULE_UNSPECIFIED {
		item.Rule = rules.DayRule(req.GetWorkingDayRule().String())
	}
	if item.Owner != "" {
		if err := codeField("owner_code", item.Owner); err != nil {
			return item, err
		}
	}
	var err error
	if item.Due, err = dateField("due_date", req.GetDueDate()); err != nil {
		return item, err
	}
	if item.From, err = dateField("window_start", req.GetWindowStart()); err != nil {
		return item, err
	}
	item.Till, err = dateField("window_end", req.GetWindowEnd())
	return item, err
}

func itemStateToProto(state rules.ItemState) registerv1.CalendarState {
	return registerv1.CalendarState(registerv1.CalendarState_value[string(state)])
}

func levelToProto(level rules.Level) registerv1.OwnerLevel {
	return registerv1.OwnerLevel(registerv1.OwnerLevel_value[string(level)])
}

func itemToProto(c *store.ItemChange, item *rules.Item, state rules.ItemState, falls period.Date) *registerv1.CalendarItem {
	return &registerv1.CalendarItem{
		ItemId: item.ID, Title: item.Title, OwnerLevel: levelToProto(item.Level), OwnerCode: item.Owner, CommissionerCode: item.Commissioner,
		DueDate: item.Due.String(), WindowStart: item.From.String(), WindowEnd: item.Till.String(),
		WorkingDayRule: registerv1.WorkingDayRule(registerv1.WorkingDayRule_value[string(item.Rule)]), FallsDue: falls.String(), Evidence: item.Evidence,
		State: itemStateToProto(state), CompletedDate: item.Completed.String(), LinkedRecord: item.Linked, Source: item.Source,
		Confidence: working.ConfidenceToProto(item.Confidence), Reason: item.Reason, RecordedBy: c.RecordedBy, RecordedAt: timestamppb.New(c.RecordedAt),
		Missing: item.Missing(), Etag: strconv.FormatInt(c.Number, 10),
	}
}
