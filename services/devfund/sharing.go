package devfund

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// perHead are the lists of the kinds that name one.
var perHead = map[devfundv1.SharingKind]rules.List{
	devfundv1.SharingKind_PER_HEAD_REGISTERED: rules.RegisteredList,
	devfundv1.SharingKind_PER_HEAD_WEIGHTED:   rules.WeightedList,
	devfundv1.SharingKind_PER_HEAD_ADJUSTED:   rules.AdjustedList,
}

// lists are the lists that a method may name; none means registered patients.
var lists = map[devfundv1.PopulationKind]rules.List{
	devfundv1.PopulationKind_POPULATION_KIND_UNSPECIFIED: rules.RegisteredList,
	devfundv1.PopulationKind_REGISTERED:                  rules.RegisteredList,
	devfundv1.PopulationKind_WEIGHTED:                    rules.WeightedList,
	devfundv1.PopulationKind_ADJUSTED:                    rules.AdjustedList,
}

// slicePurposes are what is set aside first, by what the rules call it.
var slicePurposes = map[rules.SliceKind]devfundv1.AllocationPurpose{
	rules.LeadershipSlice: devfundv1.AllocationPurpose_LEADERSHIP,
	rules.SystemSlice:     devfundv1.AllocationPurpose_SYSTEM_SUPPORT,
	rules.PlaceSlice:      devfundv1.AllocationPurpose_PLACE_SUPPORT,
}

func methodMalformed(field, format string, args ...any) error {
	f := fault.New(fault.Invalid, rules.ReasonMethodMalformed, format, args...)
	return f.At(field, f.Message)
}

// requested is where a figure of the request comes from.
func requested(source string) working.Origin {
	return working.Origin{Kind: working.FromRequest, Source: source}
}

// methodOf reads a method as the rules know it.
func methodOf(m *devfundv1.SharingMethod) (rules.Method, error) {
	out := rules.Method{Kind: rules.PerHead, List: perHead[m.GetKind()]}
	switch m.GetKind() {
	case devfundv1.SharingKind_EQUAL:
		out.Kind = rules.Equal
	case devfundv1.SharingKind_BID:
		out.Kind = rules.Bid
	case devfundv1.SharingKind_FLAT_PLUS_PER_HEAD:
		out.Kind, out.List = rules.FlatPlusPerHead, lists[m.GetPopulation()]
		out.Flat = rules.Amount{Pence: money.Pence(m.GetFlatPence()), Origin: requested("flat sum of the method")}
	case devfundv1.SharingKind_NEED_INDEX:
		out.Kind, out.List = rules.NeedIndex, lists[m.GetPopulation()]
		if strings.TrimSpace(m.GetNeedIndexSource()) == "" {
			return out, fault.New(fault.Invalid, reasonNeedIndexSourceMissing, "say where the need indices come from").At("method.need_index_source", "where they come from")
		}
	case devfundv1.SharingKind_PER_HEAD_REGISTERED, devfundv1.SharingKind_PER_HEAD_WEIGHTED, devfundv1.SharingKind_PER_HEAD_ADJUSTED:
		if m.GetPopulation() != devfundv1.PopulationKind_POPULATION_KIND_UNSPECIFIED && lists[m.GetPopulation()] != out.List {
			return out, methodMalformed("method.population", "%s counts other patients than %s: leave the population out", m.GetKind(), m.GetPopulation())
		}
	case devfundv1.SharingKind_SHARING_KIND_UNSPECIFIED:
		return out, methodMalformed("method.kind", "say how the pool is shared")
	}
	if m.GetFlatPence() != 0 && out.Kind != rules.FlatPlusPerHead {
		return out, methodMalformed("method.flat_pence", "%s has no flat sum", m.GetKind())
	}
	return out, nil
}

// countedOn is the day on which the patients of a method are counted.
func countedOn(m *devfundv1.SharingMethod, year period.FinancialYear) (period.Date, error) {
	day, err := optionalDate("method.population_date", m.GetPopulationDate())
	if err == nil && day.IsZero() {
		day = year.ListDate()
	}
	return day, err
}

// poolOf takes the slices of a method into a pool. A leadership portion that the method leaves out is the one set for the commissioner.
func (s *Service) poolOf(ctx context.Context, q sqldb.Querier, row *store.AllocationRow, amount rules.Amount, m *devfundv1.SharingMethod) (*rules.Pool, error) {
	pool := &rules.Pool{Amount: amount}
	if len(m.GetSlices()) > 0 && row.Purpose != devfundv1.AllocationPurpose_GENERAL && row.Purpose != devfundv1.AllocationPurpose_CARRIED_FORWARD {
		return nil, methodMalformed("method.slices", "%s was set aside for %s already: nothing more is taken of it first", row.ID, row.Purpose)
	}
	for i, slice := range m.GetSlices() {
		field := fmt.Sprintf("method.slices[%d]", i)
		into, found := map[devfundv1.AllocationPurpose]*rules.Given{
			devfundv1.AllocationPurpose_LEADERSHIP:     &pool.LeadershipPercent,
			devfundv1.AllocationPurpose_SYSTEM_SUPPORT: &pool.SystemPercent,
			devfundv1.AllocationPurpose_PLACE_SUPPORT:  &pool.PlacePercent,
		}[slice.GetPurpose()]
		switch {
		case !found:
			return nil, methodMalformed(field+".purpose", "a slice is for leadership, the system or a place, not for %s", slice.GetPurpose())
		case into.Value != nil:
			return nil, methodMalformed(field+".purpose", "two slices are for %s", slice.GetPurpose())
		}
		given, err := s.percentOf(ctx, q, row, slice, field)
		if err != nil {
			return nil, err
		}
		*into = given
	}
	return pool, nil
}

func (s *Service) percentOf(ctx context.Context, q sqldb.Querier, row *store.AllocationRow, slice *devfundv1.TopSlice, field string) (rules.Given, error) {
	var given rules.Given
	why := slice.GetReason()
	if slice.GetPercent() != "" {
		percent, err := money.ParseDecimal(slice.GetPercent())
		if err != nil {
			return given, decimalMalformed(field+".percent", err)
		}
		given = rules.Given{Value: percent, Origin: requested(cmp.Or(why, "percentage of the decision"))}
	}
	if slice.GetPurpose() != devfundv1.AllocationPurpose_LEADERSHIP {
		if given.Value == nil {
			return given, methodMalformed(field+".percent", "say how much is set aside for %s, in percent", slice.GetPurpose())
		}
		return given, nil
	}
	if given.Value == nil {
		set, err := s.setting(ctx, q, row.CommissionerCode, row.Year, settingLeadershipPercent)
		if err != nil {
			return given, err
		}
		if set.Value != "" {
			if given.Value, err = money.ParseDecimal(set.Value); err != nil {
				return given, fmt.Errorf("setting %s: %w", set.ID, err)
			}
			given.Origin = working.Origin{Kind: working.FromSetting, Ref: set.ID, Source: set.Reason}
			why = cmp.Or(why, set.Reason)
		}
	}
	return rules.LeadershipPercent(row.Year, given, why, nil)
}

func decimalMalformed(field string, err error) error {
	return fault.New(fault.Invalid, reasonDecimalMalformed, "%s: %v", field, err).At(field, "an exact decimal such as 1.25")
}

// receiving is who a pool is shared among, as the request says and the register has it.
type receiving struct {
	level devfundv1.AllocationLevel
	// stated are the receivers of the request; none means every PCN of the commissioners.
	stated []*devfundv1.Receiver
	// commissioners are those whose PCNs share, in order, and day that of the memberships; neither counts for other levels.
	commissioners []string
	day           period.Date
	// pictures are their PCNs by the day on which patients are counted, and snapshots the register's identifiers in order of commissioners.
	pictures  map[period.Date]map[string]network
	snapshots map[period.Date][]string
}

// sharingRequest is a request that names receivers.
type sharingRequest interface {
	GetReceiversLevel() devfundv1.AllocationLevel
	GetReceivers() []*devfundv1.Receiver
	GetCommissionerCodes() []string
	GetMembershipDate() string
}

// receivingOf reads who a pool is shared among, without the register.
func receivingOf(row *store.AllocationRow, req sharingRequest) (*receiving, error) {
	out := &receiving{
		level: req.GetReceiversLevel(), stated: req.GetReceivers(), commissioners: sorted(req.GetCommissionerCodes()),
		pictures: make(map[period.Date]map[string]network), snapshots: make(map[period.Date][]string),
	}
	if out.level == devfundv1.AllocationLevel_ALLOCATION_LEVEL_UNSPECIFIED {
		out.level = devfundv1.AllocationLevel_PCN
	}
	if err := checkLevel(row, out.level); err != nil {
		return nil, err
	}
	for i, r := range out.stated {
		if r.GetPopulation() != "" && strings.TrimSpace(r.GetSource()) == "" {
			return nil, methodMalformed(fmt.Sprintf("receivers[%d].source", i), "say where the population of %s comes from", money.Clip(r.GetCode()))
		}
	}
	if out.level != devfundv1.AllocationLevel_PCN {
		if len(out.commissioners) > 0 {
			return nil, methodMalformed("commissioner_codes", "commissioners are named for their PCNs; receivers of level %s are named themselves", out.level)
		}
		return out, nil
	}
	var err error
	if out.day, err = optionalDate("membership_date", req.GetMembershipDate()); err != nil {
		return nil, err
	}
	if out.day.IsZero() {
		out.day = membersOn(row.Year)
	}
	if len(out.commissioners) == 0 && row.CommissionerCode != rules.England {
		out.commissioners = []string{row.CommissionerCode}
	}
	if len(out.commissioners) == 0 {
		return nil, fault.New(fault.Invalid, rules.ReasonNoReceivers, "name the commissioners whose PCNs share").At("commissioner_codes", "their codes")
	}
	return out, nil
}

// fetch takes the register's pictures of the commissioners, with patients counted on a day: those of the snapshots named, in order of the
// commissioners, or as they are known now.
func (s *Service) fetch(ctx context.Context, r *receiving, counted period.Date, snapshots []string) error {
	if r.level != devfundv1.AllocationLevel_PCN || r.pictures[counted] != nil {
		return nil
	}
	all := make([][]network, len(r.commissioners))
	ids := make([]string, len(r.commissioners))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, commissioner := range r.commissioners {
		req := &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: r.day.String(), PopulationReferenceDate: counted.String()}
		if snapshots != nil {
			req.SnapshotId = snapshots[i]
		}
		group.Go(func() (err error) {
			ids[i], all[i], err = s.networks(ctx, req)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	picture := make(map[string]network)
	for _, networks := range all {
		for _, n := range networks {
			if _, found := picture[n.code]; !found {
				picture[n.code] = n
			}
		}
	}
	r.pictures[counted], r.snapshots[counted] = picture, ids
	return nil
}

// among are the receivers of a method with what it rests on, and what is known of each.
type among struct {
	level     devfundv1.AllocationLevel
	receivers []rules.Receiver
	known     map[string]*receiver
	snapshots []string
}

// receiver is what is shown of one.
type receiver struct {
	name, commissioner string
	population         *big.Rat
}

// receivers gathers the receivers of a method.
func (r *receiving) receivers(row *store.AllocationRow, m rules.Method, needSource string, counted period.Date) (*among, error) {
	out := &among{level: r.level, known: make(map[string]*receiver), snapshots: r.snapshots[counted]}
	picture := r.pictures[counted]
	stated := r.stated
	if len(stated) == 0 {
		for code := range picture {
			stated = append(stated, &devfundv1.Receiver{Code: code})
		}
	}
	if unknown := r.unknown(picture); len(unknown) > 0 {
		return nil, fault.New(fault.Refused, reasonReceiverUnknown, "no PCNs that %s leads on %s: %s", strings.Join(r.commissioners, ", "), r.day, strings.Join(unknown, ", ")).
			With("receivers", strings.Join(unknown, ",")).With("commissioner_codes", strings.Join(r.commissioners, ","))
	}
	for i, given := range stated {
		one, shown, err := r.receiver(row, given, picture, m, needSource)
		if err != nil {
			return nil, decimalMalformed(fmt.Sprintf("receivers[%d]", i), err)
		}
		out.receivers, out.known[given.GetCode()] = append(out.receivers, one), shown
	}
	return out, nil
}

// unknown returns the PCNs of the request that are none of the commissioners'.
func (r *receiving) unknown(picture map[string]network) (out []string) {
	if r.level != devfundv1.AllocationLevel_PCN {
		return nil
	}
	for _, given := range r.stated {
		if _, found := picture[given.GetCode()]; !found {
			out = append(out, money.Clip(given.GetCode()))
		}
	}
	return sorted(out)
}

// receiver reads one receiver: a population that is stated outranks the register's.
func (r *receiving) receiver(
	row *store.AllocationRow, given *devfundv1.Receiver, picture map[string]network, m rules.Method, needSource string,
) (rules.Receiver, *receiver, error) {
	out := rules.Receiver{Code: given.GetCode()}
	shown := &receiver{name: given.GetName(), commissioner: row.CommissionerCode}
	var patients rules.Given
	switch {
	case r.level == devfundv1.AllocationLevel_PCN:
		n := picture[given.GetCode()]
		shown.name, shown.commissioner = cmp.Or(shown.name, n.name), n.commissioner
		if total := n.lists[m.List]; total != nil {
			patients = rules.Given{Value: total, Origin: working.Origin{Kind: working.FromSnapshot, Ref: n.snapshot, Source: "register snapshot"}}
		}
	case accountsItself(r.level):
		shown.commissioner = given.GetCode()
	}
	if given.GetPopulation() != "" {
		total, err := money.ParseDecimal(given.GetPopulation())
		if err != nil {
			return out, nil, err
		}
		patients = rules.Given{Value: total, Origin: requested(given.GetSource())}
	}
	if given.GetNeedIndex() != "" {
		index, err := money.ParseDecimal(given.GetNeedIndex())
		if err != nil {
			return out, nil, err
		}
		out.NeedIndex = rules.Given{Value: index, Origin: requested(needSource)}
	}
	switch m.List {
	case rules.RegisteredList:
		out.Registered = patients
	case rules.WeightedList:
		out.Weighted = patients
	case rules.AdjustedList:
		out.Adjusted = patients
	}
	if m.List != "" {
		shown.population = patients.Value
	}
	if m.Kind == rules.Bid {
		out.Bid = &rules.Amount{Pence: money.Pence(given.GetBidPence()), Origin: requested(cmp.Or(given.GetSource(), "bid as approved"))}
	}
	return out, shown, nil
}

// shareOut shares a pool by a method. The pictures of the register that it needs were fetched before.
func shareOut(row *store.AllocationRow, pool *rules.Pool, m *devfundv1.SharingMethod, r *receiving) (*rules.Shared, *among, error) {
	method, err := methodOf(m)
	if err != nil {
		return nil, nil, err
	}
	counted, err := countedOn(m, row.Year)
	if err != nil {
		return nil, nil, err
	}
	parties, err := r.receivers(row, method, m.GetNeedIndexSource(), counted)
	if err != nil {
		return nil, nil, err
	}
	shared, err := rules.Share(pool, method, parties.receivers)
	return shared, parties, err
}

// outcomeToProto writes what a method made of a pool, with every working.
func outcomeToProto(m *devfundv1.SharingMethod, shared *rules.Shared, parties *among) *devfundv1.SharingOutcome {
	out := &devfundv1.SharingOutcome{
		Method: m, MethodWords: methodWords(m, shared), PoolPence: int64(shared.Pool), SharedPoolPence: int64(shared.ToShare),
		HeldPence: int64(shared.HeldBack), SnapshotIds: parties.snapshots,
	}
	for i := range shared.Slices {
		slice := &shared.Slices[i]
		out.Slices = append(out.Slices, &devfundv1.SliceAmount{
			Purpose: slicePurposes[slice.Kind], Percent: decimal(slice.Percent), AmountPence: int64(slice.Amount), Working: working.ToProto(slice.Working),
		})
	}
	for i := range shared.Parts {
		part := &shared.Parts[i]
		of := parties.known[part.Code]
		shown := &devfundv1.Share{
			Code: part.Code, Name: of.name, Population: decimal(of.population), Weight: decimal(part.Weight), AmountPence: int64(part.Amount),
			Exact: decimal(part.Exact), Working: working.ToProto(part.Working),
		}
		if parties.level == devfundv1.AllocationLevel_PCN {
			shown.CommissionerCode = of.commissioner
		}
		out.Shares = append(out.Shares, shown)
	}
	return out
}

var (
	kindWords = map[devfundv1.SharingKind]string{
		devfundv1.SharingKind_EQUAL:               "the same for each",
		devfundv1.SharingKind_PER_HEAD_REGISTERED: "per registered patient",
		devfundv1.SharingKind_PER_HEAD_WEIGHTED:   "per weighted patient",
		devfundv1.SharingKind_PER_HEAD_ADJUSTED:   "per adjusted patient",
		devfundv1.SharingKind_BID:                 "bids as approved",
	}
	purposeWords = map[devfundv1.AllocationPurpose]string{
		devfundv1.AllocationPurpose_LEADERSHIP:     "leadership",
		devfundv1.AllocationPurpose_SYSTEM_SUPPORT: "the system",
		devfundv1.AllocationPurpose_PLACE_SUPPORT:  "places",
	}
)

// methodWords says a method in words, with the percentages that were taken.
func methodWords(m *devfundv1.SharingMethod, shared *rules.Shared) string {
	kind, found := kindWords[m.GetKind()]
	switch list := strings.ToLower(string(lists[m.GetPopulation()])); {
	case m.GetKind() == devfundv1.SharingKind_NEED_INDEX:
		kind = fmt.Sprintf("by %s patients times a local index of need", list)
	case !found:
		kind = fmt.Sprintf("%s each, the remainder per %s patient", money.Pence(m.GetFlatPence()), list)
	}
	var first []string
	for i := range shared.Slices {
		slice := &shared.Slices[i]
		first = append(first, fmt.Sprintf("%s%% for %s", decimal(slice.Percent), purposeWords[slicePurposes[slice.Kind]]))
	}
	if len(first) == 0 {
		return kind
	}
	return strings.Join(first, ", ") + " first, then " + kind
}

// poolLeft is what there is to share of an allocation: what is left of it, with what its standing decision gave, which the next one gives
// anew.
func poolLeft(row *store.AllocationRow, children []store.AllocationRow) money.Pence {
	left, _ := row.Left()
	for i := range children {
		if children[i].DecisionID != "" {
			left += children[i].Holding()
		}
	}
	return left
}

// amountOf is a pool with where it is stated.
func amountOf(row *store.AllocationRow, versions []store.VersionRow, pool money.Pence) (rules.Amount, error) {
	stated, err := available(row, versions)
	if err != nil {
		return stated, err
	}
	stated.Origin.Ref = row.ID
	stated.Pence = pool
	return stated, nil
}

// children returns what came out of an allocation, and everything that was stated of it.
func children(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) ([]store.AllocationRow, []store.VersionRow, error) {
	rows, err := store.Children(ctx, q, row.ID)
	if err != nil {
		return nil, nil, err
	}
	versions, err := store.Versions(ctx, q, row.ID)
	return slices.Clip(rows), versions[row.ID], err
}
