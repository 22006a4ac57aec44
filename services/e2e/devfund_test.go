package e2e

import (
	"cmp"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The year and month of the development fund that the tests pay: the sample holds members and populations of them.
const (
	developedYear  = "2025-26"
	developedMonth = "2025-06"
)

type allocation struct {
	AllocationID   string  `json:"allocation_id"`
	HolderCode     string  `json:"holder_code"`
	Level          string  `json:"level"`
	Purpose        string  `json:"purpose"`
	ReleasedPence  *string `json:"released_pence"`
	SharedPence    int64   `json:"shared_pence,string"`
	CommittedPence int64   `json:"committed_pence,string"`
	LeftPence      *string `json:"left_pence"`
	ETag           string  `json:"etag"`
}

type sharingOutcome struct {
	PoolPence       int64 `json:"pool_pence,string"`
	SharedPoolPence int64 `json:"shared_pool_pence,string"`
	HeldPence       int64 `json:"held_pence,string"`
	Slices          []struct {
		Purpose     string   `json:"purpose"`
		AmountPence int64    `json:"amount_pence,string"`
		Working     *working `json:"working"`
	} `json:"slices"`
	Shares []struct {
		Code        string   `json:"code"`
		Population  string   `json:"population"`
		AmountPence int64    `json:"amount_pence,string"`
		Working     *working `json:"working"`
	} `json:"shares"`
	Refusal *refusal `json:"refusal"`
}

// sum is what the outcome comes to.
func (o sharingOutcome) sum() int64 {
	out := o.HeldPence
	for _, s := range o.Slices {
		out += s.AmountPence
	}
	for _, s := range o.Shares {
		out += s.AmountPence
	}
	return out
}

type sharingDecision struct {
	DecisionID    string         `json:"decision_id"`
	AllocationIDs []string       `json:"allocation_ids"`
	Outcome       sharingOutcome `json:"outcome"`
}

type developmentPlan struct {
	PlanID       string   `json:"plan_id"`
	Version      int      `json:"version"`
	State        string   `json:"state"`
	CoveredPCNs  []string `json:"covered_pcns"`
	PlannedPence int64    `json:"planned_pence,string"`
	Checks       []struct {
		Check   string   `json:"check"`
		Passed  bool     `json:"passed"`
		Missing []string `json:"missing"`
	} `json:"checks"`
	Tranches []struct {
		PCNCode     string `json:"pcn_code"`
		Month       string `json:"month"`
		AmountPence int64  `json:"amount_pence,string"`
		ScheduleID  string `json:"schedule_id"`
	} `json:"tranches"`
	ETag string `json:"etag"`
}

// failed are the checks that fail.
func (p developmentPlan) failed() (out []string) {
	for _, c := range p.Checks {
		if !c.Passed {
			out = append(out, c.Check)
		}
	}
	return out
}

// developing is a commissioner with money of the fund. Keeper and second are of England, and enter and confirm what the nation holds.
type developing struct {
	office
	keeper, second caller
	pcns           []snapshotPCN
	pool           allocation
	decision       sharingDecision
	given          map[string]allocation // by PCN
	plan           developmentPlan
}

func developingIn(t testing.TB, icb string) *developing {
	t.Helper()
	d := &developing{office: officeOf(t, icb), keeper: named(t, "e2e.keeper", "finance_approver"), second: named(t, "e2e.second", "finance_approver")}
	picture := read[snapshot](t, d.onlooking, "/v1/register/snapshot?commissioner_code="+icb+"&membership_date="+developedYear[:4]+"-04-01&population_reference_date=2025-01-01")
	for _, pcn := range picture.PCNs {
		if pcn.PayerCode == icb && pcn.Closed == "" && len(pcn.Practices) > 0 {
			d.pcns = append(d.pcns, pcn)
		}
	}
	require.Greater(t, len(d.pcns), 2)
	return d
}

// patients adds up what practices of a PCN have.
func patients(t testing.TB, pcn snapshotPCN, kind string) *big.Rat {
	t.Helper()
	sum := new(big.Rat)
	for _, practice := range pcn.Practices {
		sum.Add(sum, exact(t, practice.population(kind)))
	}
	return sum
}

// TestDevfund_FromTheNationToAPayment takes money from what England holds down to a PCN's payment, and back up again by its trace.
func TestDevfund_FromTheNationToAPayment(t *testing.T) {
	t.Parallel()
	d := developingIn(t, "QR1")
	d.allocated(t)
	d.compared(t)
	d.decided(t)
	d.drafted(t)
	d.agreed(t)
	d.approved(t)
	d.closed(t)
	d.reported(t)
	d.traced(t)
}

// allocated enters what the nation and the system hold: a candidate waits for another person, and nobody gives more than there is.
func (d *developing) allocated(t *testing.T) {
	national := "PCN_DEV-" + developedYear
	record := fields{
		"request_id": unique(), "financial_year": developedYear, "fund_code": "PCN_DEV", "level": "NATION", "holder_code": "england", "holder_name": "England",
		"basis": "RELEASED", "amount_pence": "4370000000", "source": "e2e", "confidence": "CONFIDENCE_CANDIDATE", "reason": "e2e",
	}
	system := fields{
		"request_id": unique(), "commissioner_code": d.code, "financial_year": developedYear, "fund_code": "PCN_DEV", "level": "SYSTEM", "holder_code": d.code,
		"holder_name": "e2e system", "parent_allocation_id": national, "basis": "RELEASED", "amount_pence": "100000001", "source": "e2e", "reason": "e2e",
	}
	require.Equal(t, national, write[allocation](t, d.keeper, "/v1/devfund/allocations", record).AllocationID)
	refused := d.keeper.post(t, "/v1/devfund/allocations", system).refused(t, http.StatusBadRequest, "AMOUNT_NOT_CONFIRMED")
	require.Equal(t, "4370000000", refused.Metadata["candidate_pence"])
	nation := read[allocation](t, d.keeper, "/v1/devfund/allocations/"+national)
	confirm := fields{"request_id": unique(), "etag": nation.ETag, "basis": "RELEASED", "reason": "e2e"}
	d.keeper.post(t, "/v1/devfund/allocations/"+national+":confirm", confirm).refused(t, http.StatusForbidden, "SELF_CONFIRMED")
	write[allocation](t, d.second, "/v1/devfund/allocations/"+national+":confirm", confirm)
	refused = d.keeper.post(t, "/v1/devfund/allocations", system.with("amount_pence", "4370000001").with("request_id", unique())).
		refused(t, http.StatusBadRequest, "ALLOCATION_EXCEEDED")
	require.Contains(t, refused.Detail, "£43,700,000.01")
	d.pool = write[allocation](t, d.keeper, "/v1/devfund/allocations", system.with("request_id", unique()))
	require.Equal(t, "100000001", *d.pool.LeftPence)
	nation = read[allocation](t, d.keeper, "/v1/devfund/allocations/"+national)
	require.Equal(t, int64(100000001), nation.SharedPence)
	d.onlooking.get(t, "/v1/devfund/allocations/"+d.pool.AllocationID).ok(t, &allocation{})
	as(t, "finance_preparer", "QGH").get(t, "/v1/devfund/allocations/"+d.pool.AllocationID).refused(t, http.StatusNotFound, "ALLOCATION_NOT_FOUND")
}

func (d *developing) path() string { return "/v1/devfund/allocations/" + d.pool.AllocationID }

var developedSlices = []fields{{"purpose": "LEADERSHIP", "percent": "10", "reason": "e2e"}, {"purpose": "SYSTEM_SUPPORT", "percent": "12.5"}}

// compared sets methods side by side, each of which comes to the pool.
func (d *developing) compared(t *testing.T) {
	answer := struct {
		Alternatives []sharingOutcome `json:"alternatives"`
		Receivers    []struct {
			Code       string   `json:"code"`
			MovedPence []string `json:"moved_pence"`
		} `json:"receivers"`
	}{}
	methods := []fields{
		{"kind": "PER_HEAD_REGISTERED", "slices": developedSlices},
		{"kind": "PER_HEAD_ADJUSTED", "slices": developedSlices},
		{"kind": "FLAT_PLUS_PER_HEAD", "flat_pence": "1000000"},
		{"kind": "EQUAL"},
		{"kind": "FLAT_PLUS_PER_HEAD", "flat_pence": "100000000"},
	}
	d.preparer.post(t, d.path()+":compare", fields{"methods": methods}).ok(t, &answer)
	require.Len(t, answer.Alternatives, len(methods))
	require.Len(t, answer.Receivers, len(d.pcns))
	for i, o := range answer.Alternatives[:4] {
		require.Nil(t, o.Refusal)
		require.Equal(t, int64(100000001), o.PoolPence)
		require.Equal(t, o.PoolPence, o.sum(), "alternative %d", i)
	}
	require.Equal(t, "FLATS_EXCEED_POOL", answer.Alternatives[4].Refusal.Reason)
	for _, r := range answer.Receivers {
		require.Equal(t, "0", r.MovedPence[0])
	}
	require.Equal(t, "0", fmt.Sprint(read[allocation](t, d.onlooking, d.path()).SharedPence), "a comparison writes nothing")
}

// decided shares by adjusted patients, and works the shares out by hand.
func (d *developing) decided(t *testing.T) {
	body := fields{
		"request_id": unique(), "commissioner_code": d.code, "etag": d.pool.ETag, "method": fields{"kind": "PER_HEAD_ADJUSTED", "slices": developedSlices},
		"decided_by": "e2e committee", "decided_on": "2025-04-10", "minute_reference": "e2e, item 1", "reason": "e2e",
	}
	as(t, "auditor").post(t, d.path()+":share", body).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	d.decision = write[sharingDecision](t, d.preparer, d.path()+":share", body)
	require.Equal(t, d.decision.DecisionID, write[sharingDecision](t, d.preparer, d.path()+":share", body).DecisionID, "the same request once more")
	o := d.decision.Outcome
	require.Equal(t, o.PoolPence, o.sum())
	require.Equal(t, []int64{10000000, 12500000}, []int64{o.Slices[0].AmountPence, o.Slices[1].AmountPence}, "half up to the penny")
	for _, s := range o.Slices {
		require.Equal(t, s.AmountPence, evaluate(t, s.Working))
	}
	want := d.byHand(t, o.SharedPoolPence)
	require.Len(t, o.Shares, len(want))
	for _, s := range o.Shares {
		require.Equal(t, want[s.Code], s.AmountPence, s.Code)
		require.Equal(t, s.AmountPence, evaluate(t, s.Working), "the working alone gives the same")
	}
	again := body.with("request_id", unique()).with("etag", read[allocation](t, d.onlooking, d.path()).ETag)
	d.preparer.post(t, d.path()+":share", again).refused(t, http.StatusBadRequest, "ALREADY_SHARED")
	for _, now := range []string{"", "?as_known_now=true"} {
		replayed := read[struct {
			Identical   bool     `json:"identical"`
			Differences []fields `json:"differences"`
		}](t, d.onlooking, "/v1/devfund/sharing-decisions/"+d.decision.DecisionID+":replay"+now)
		require.True(t, replayed.Identical)
		require.Empty(t, replayed.Differences)
	}
	d.given = make(map[string]allocation)
	tree := read[struct {
		Nodes []struct {
			Allocation allocation `json:"allocation"`
		} `json:"nodes"`
	}](t, d.onlooking, d.path()+"/tree").Nodes
	require.Len(t, tree, len(want)+3, "the pool, two slices, and the PCNs")
	below := int64(0)
	for _, n := range tree[1:] {
		below += pence(t, new(big.Rat).Quo(exact(t, *n.Allocation.ReleasedPence), big.NewRat(100, 1)))
		d.given[n.Allocation.HolderCode+n.Allocation.Purpose] = n.Allocation
		if n.Allocation.Level == "PCN" {
			d.given[n.Allocation.HolderCode] = n.Allocation
		}
	}
	require.Equal(t, below, tree[0].Allocation.SharedPence)
	require.Equal(t, o.PoolPence, below)
}

// byHand shares by the largest remainder.
func (d *developing) byHand(t *testing.T, pool int64) map[string]int64 {
	type part struct {
		code      string
		pence     int64
		remainder *big.Rat
	}
	all := new(big.Rat)
	for _, pcn := range d.pcns {
		all.Add(all, patients(t, pcn, "ADJUSTED"))
	}
	var parts []part
	left := pool
	for _, pcn := range d.pcns {
		share := new(big.Rat).Quo(patients(t, pcn, "ADJUSTED"), all)
		share.Mul(share, big.NewRat(pool, 1))
		whole := new(big.Int).Quo(share.Num(), share.Denom())
		parts = append(parts, part{pcn.PCNCode, whole.Int64(), new(big.Rat).Sub(share, new(big.Rat).SetInt(whole))})
		left -= whole.Int64()
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(b.remainder.Cmp(a.remainder), strings.Compare(a.code, b.code)) })
	out := make(map[string]int64)
	for i, p := range parts {
		if int64(i) < left {
			p.pence++
		}
		out[p.code] = p.pence
	}
	return out
}

// bought is what the plan buys: a line for the first two PCNs, one by a supplier for all, and rent, which nobody may buy.
func (d *developing) bought(rent bool) []fields {
	all := make([]fields, len(d.pcns))
	for i, pcn := range d.pcns {
		all[i] = fields{"pcn_code": pcn.PCNCode}
	}
	line := func(id, allocationID, category string, amount int64) fields {
		return fields{
			"line_id": id, "allocation_id": allocationID, "level": "LINE_PCN", "domain": "COLLABORATIVE_WORKING", "priorities": []string{"INTEGRATION"}, "category": category,
			"description": "e2e " + id, "staff_groups": []string{"CLINICAL", "NON_CLINICAL"}, "payee": "PCN_PAYEE", "amount_pence": fmt.Sprint(amount),
			"beneficiaries": all[:1], "alignments": []string{"NETWORK_CONTRACT"}, "wider_partners": "e2e", "tranches": []fields{{"month": developedMonth}, {"month": "2025-12"}},
		}
	}
	leadership, support := d.given[d.code+"LEADERSHIP"], d.given[d.code+"SYSTEM_SUPPORT"]
	shared := line("L1", leadership.AllocationID, "leadership_development", 1000001)
	shared["beneficiaries"] = all
	shared["level"], shared["level_reason"] = "LINE_SYSTEM", "e2e: one programme"
	supplied := line("L2", support.AllocationID, "change_management", 5000000).with("payee", "SUPPLIER").with("supplier_code", "E2E").with("supplier_name", "e2e supplier")
	supplied["beneficiaries"], supplied["level"], supplied["level_reason"] = all, "LINE_SYSTEM", "e2e: bought once"
	delete(supplied, "tranches")
	out := []fields{shared, supplied}
	if rent {
		out = append(out, line("L3", leadership.AllocationID, "operating_cost", 1))
	}
	return out
}

func (d *developing) header() fields {
	return fields{"title": "e2e plan", "allocation_id": d.pool.AllocationID, "leadership_percent": "10"}
}

func (d *developing) stepBody(more fields) fields {
	out := fields{"request_id": unique(), "commissioner_code": d.code, "etag": d.plan.ETag}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (d *developing) planPath() string { return "/v1/devfund/plans/" + d.plan.PlanID }

// drafted drafts a plan with a line that may not be bought, and mends it.
func (d *developing) drafted(t *testing.T) {
	draft := fields{"request_id": unique(), "commissioner_code": d.code, "financial_year": developedYear, "header": d.header(), "lines": d.bought(true)}
	d.plan = write[developmentPlan](t, d.preparer, "/v1/devfund/plans", draft)
	require.Len(t, d.plan.CoveredPCNs, len(d.pcns), "every PCN that the commissioner leads")
	require.Equal(t, []string{"development_not_delivery", "agreed_with_clinical_directors"}, d.plan.failed())
	require.Equal(t, []string{"L3"}, d.plan.Checks[0].Missing)
	for _, pcn := range d.pcns {
		write[fields](t, d.directorOf(t, pcn.PCNCode), "/v1/devfund/pcns/"+pcn.PCNCode+"/assessments", fields{
			"request_id": unique(), "financial_year": developedYear, "service_improvement_priority": "e2e", "assessed_on": "2025-04-12", "scores": []fields{
				{"area": "LEADERSHIP_PLANNING_PARTNERSHIPS", "score": 2},
				{"area": "DATA_AND_POPULATION_HEALTH", "score": 1},
				{"area": "INTEGRATING_CARE", "score": 3},
				{"area": "MANAGING_RESOURCES", "score": 2},
				{"area": "PEOPLE_AND_COMMUNITIES", "score": 4},
			},
		})
	}
	d.plan = read[developmentPlan](t, d.onlooking, d.planPath())
	d.plan = write[developmentPlan](t, d.preparer, d.planPath()+":revise", d.stepBody(fields{"header": d.header(), "lines": d.bought(false), "reason": "e2e: rent is no development"}))
	require.Equal(t, []any{2, "PLAN_DRAFTED", int64(6000001)}, []any{d.plan.Version, d.plan.State, d.plan.PlannedPence})
}

func (d *developing) directorOf(t testing.TB, pcn string) caller {
	t.Helper()
	token, err := suite.tokenBy(suite.dataDir, "--role", "clinical_director", "--pcn", pcn, "--subject", "director."+strings.ToLower(pcn))
	require.NoError(t, err)
	return caller{token: token}
}

// agreed has every director agree but one at first, whose PCN the refusal names.
func (d *developing) agreed(t *testing.T) {
	agree := func(pcn string) {
		d.plan = write[developmentPlan](t, d.directorOf(t, pcn), d.planPath()+"/pcns/"+pcn+":agree", fields{
			"request_id": unique(), "version": d.plan.Version, "director": "Dr " + pcn, "agreed_on": "2025-04-20", "evidence_reference": "e2e",
		})
	}
	last := d.pcns[len(d.pcns)-1].PCNCode
	for _, pcn := range d.pcns[:len(d.pcns)-1] {
		agree(pcn.PCNCode)
	}
	d.directorOf(t, "U00000").post(t, d.planPath()+"/pcns/"+last+":agree", fields{
		"request_id": unique(), "version": d.plan.Version, "director": "Dr", "agreed_on": "2025-04-20", "evidence_reference": "e2e",
	}).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	d.plan = read[developmentPlan](t, d.onlooking, d.planPath())
	refused := d.preparer.post(t, d.planPath()+":settle", d.stepBody(nil)).refused(t, http.StatusBadRequest, "CHECKS_FAILED")
	require.Equal(t, "agreed_with_clinical_directors", refused.Metadata["failed_checks"])
	require.Equal(t, last, refused.Metadata["agreed_with_clinical_directors"])
	agree(last)
	d.plan = read[developmentPlan](t, d.onlooking, d.planPath())
	require.Empty(t, d.plan.failed())
	d.plan = write[developmentPlan](t, d.preparer, d.planPath()+":settle", d.stepBody(nil))
	require.Equal(t, "AGREED_LOCALLY", d.plan.State)
}

// approved has the plan approved by somebody who has nothing to gain of it.
func (d *developing) approved(t *testing.T) {
	write[fields](t, d.preparer, "/v1/devfund/interests", fields{
		"request_id": unique(), "commissioner_code": d.code, "person": strings.ToLower(d.code) + ".approver", "pcn_code": d.pcns[0].PCNCode, "nature": "e2e: a partner's spouse",
		"from_date": "2024-01-01",
	})
	approve := fields{"body": "e2e committee", "approved_on": "2025-05-06", "minute_reference": "e2e, item 2"}
	refused := d.approver.post(t, d.planPath()+":approve", d.stepBody(approve)).refused(t, http.StatusForbidden, "CONFLICT_OF_INTEREST")
	require.Contains(t, refused.Metadata["pcns"], d.pcns[0].PCNCode)
	d.plan = write[developmentPlan](t, d.deputy, d.planPath()+":approve", d.stepBody(approve))
	require.Equal(t, "APPROVED", d.plan.State)
	sum := int64(0)
	for _, tranche := range d.plan.Tranches {
		sum += tranche.AmountPence
	}
	require.Equal(t, int64(1000001), sum, "the supplier is paid outside")
	require.Len(t, d.plan.Tranches, 2*len(d.pcns))
	leadership := read[allocation](t, d.onlooking, "/v1/devfund/allocations/"+d.given[d.code+"LEADERSHIP"].AllocationID)
	require.Equal(t, []any{int64(1000001), "8999999"}, []any{leadership.CommittedPence, *leadership.LeftPence})
}

// closed closes the month that pays, twice, and has payments take it into a run.
func (d *developing) closed(t *testing.T) {
	due := int64(0)
	for _, tranche := range d.plan.Tranches {
		if tranche.Month == developedMonth {
			due += tranche.AmountPence
		}
	}
	path := "/v1/devfund/commissioners/" + d.code + "/months/" + developedMonth
	preview := read[schedule](t, d.onlooking, path+":preview")
	require.Equal(t, []int64{due, int64(len(d.pcns))}, []int64{preview.PayTotalPence, int64(preview.LineCount)})
	closed := write[schedule](t, d.preparer, path+":close", fields{"request_id": unique()})
	requireSums(t, closed)
	require.Equal(t, fmt.Sprintf("devfund-%s-%s-1", d.code, developedMonth), closed.ScheduleID)
	require.Equal(t, due, closed.PayTotalPence)
	for _, l := range closed.Lines {
		require.Equal(t, []string{"PCN_DEVELOPMENT", developedMonth, d.plan.PlanID + "/L1"}, []string{l.PaymentCode, l.ForMonth, l.SourceItem})
		explained := read[explainedLine](t, d.onlooking, "/v1/devfund/lines/"+l.LineID)
		require.True(t, explained.Verified)
		require.Equal(t, l.AmountPence, evaluate(t, explained.Line.Working))
	}
	require.Equal(t, closed.ScheduleID, write[schedule](t, d.preparer, path+":close", fields{"request_id": unique()}).ScheduleID, "nothing is new")
	d.received(t, closed)
	run := d.run(t, developedMonth, 1)
	run = write[payRun](t, d.preparer, "/v1/payments/runs/"+run.RunID+":submit", fields{
		"request_id": unique(), "etag": run.ETag, "note": "e2e", "missing_funds": []fields{{"fund": "FUND_CORE", "reason": "paid by hand"}},
	})
	run = d.approve(t, run)
	require.Equal(t, "RUN_STATE_APPROVED", run.State)
	paid := int64(0)
	for _, l := range d.lines(t, run.RunID) {
		require.Equal(t, "PCN_DEVELOPMENT", l.Line.PaymentCode)
		paid += l.Line.AmountPence
	}
	require.Equal(t, due, paid)
	require.Contains(t, string(d.onlooking.get(t, "/v1/payments/pcns/"+d.pcns[0].PCNCode+"/statements/"+developedMonth).Body), "FUND_DEVFUND")
}

// reported reports spend, reads the quarter's return, and looks at exceptions as the region does.
func (d *developing) reported(t *testing.T) {
	d.plan = write[developmentPlan](t, d.preparer, d.planPath()+":mobilise", d.stepBody(nil))
	write[fields](t, d.preparer, d.planPath()+"/lines/L1:report", fields{
		"request_id": unique(), "month": developedMonth, "spent_to_date_pence": "400000", "forecast_pence": "1000001",
	})
	d.preparer.post(t, d.planPath()+"/lines/L1:report", fields{
		"request_id": unique(), "month": "2025-07", "spent_to_date_pence": "399999", "forecast_pence": "1000001",
	}).refused(t, http.StatusBadRequest, "SPEND_BELOW_EARLIER")
	path := "/v1/devfund/years/" + developedYear + "/quarters/1/return"
	total := read[struct {
		Total struct {
			CommittedPence int64 `json:"committed_pence,string"`
			PaidPence      int64 `json:"paid_pence,string"`
			SpentPence     int64 `json:"spent_pence,string"`
			Lines          int   `json:"lines"`
		} `json:"total"`
	}](t, d.onlooking, path+"?commissioner_code="+d.code).Total
	require.Equal(t, []int64{6000001, 400000}, []int64{total.CommittedPence, total.SpentPence})
	require.Positive(t, total.PaidPence)
	file := d.onlooking.get(t, path+".csv?commissioner_code="+d.code)
	require.Equal(t, http.StatusOK, file.Status, "%s", file)
	require.True(t, strings.HasPrefix(file.Header.Get("Content-Type"), "text/csv"))
	rows := strings.Split(strings.TrimSpace(string(file.Body)), "\r\n")
	require.Greater(t, len(rows), 1)
	region := as(t, "regional_viewer")
	region.get(t, "/v1/devfund/years/"+developedYear+"/regional-view").ok(t, &fields{})
	exceptions := read[struct {
		Exceptions []struct {
			Exception string `json:"exception"`
		} `json:"exceptions"`
	}](t, region, "/v1/devfund/years/"+developedYear+"/exceptions?commissioner_code="+d.code).Exceptions
	require.NotEmpty(t, exceptions, "most of the pool is not planned")
	region.post(t, d.planPath()+":mobilise", d.stepBody(nil)).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
}

// traced follows a line from the nation to what was paid and spent.
func (d *developing) traced(t *testing.T) {
	type way struct {
		Whole bool `json:"whole"`
		Steps []struct {
			Kind string `json:"kind"`
			ID   string `json:"id"`
		} `json:"steps"`
	}
	require.False(t, read[way](t, d.onlooking, d.planPath()+"/lines/L1/trace").Whole, "December is not scheduled yet")
	last := write[schedule](t, d.preparer, "/v1/devfund/commissioners/"+d.code+"/months/2025-12:close", fields{"request_id": unique()})
	require.Equal(t, len(d.pcns), last.LineCount)
	trace := read[way](t, d.onlooking, d.planPath()+"/lines/L1/trace")
	require.True(t, trace.Whole)
	var kinds []string
	for _, s := range trace.Steps {
		kinds = append(kinds, s.Kind)
	}
	require.Equal(t, "PCN_DEV-"+developedYear, trace.Steps[0].ID)
	require.Equal(t, []string{"ALLOCATION", "SHARING", "PLAN_LINE", "TRANCHE", "SCHEDULE_LINE", "SPEND"}, slices.Compact(compactKinds(kinds)))
}

// compactKinds leaves out that allocations and sharings take turns on the way down.
func compactKinds(kinds []string) (out []string) {
	for _, kind := range kinds {
		if !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	return out
}

func TestDevfund_IsSeenByItsCommissionerAndItsPCN(t *testing.T) {
	t.Parallel()
	nation := "/v1/devfund/allocations/PCN_DEV-2020-21"
	for who, sees := range map[caller]bool{
		as(t, "auditor"): true, as(t, "finance_preparer"): true, as(t, "regional_viewer"): true, managerOf(t, "U00000"): false,
	} {
		got := who.get(t, nation)
		if sees {
			require.Equal(t, http.StatusOK, got.Status, "%s", got)
			continue
		}
		got.refused(t, http.StatusNotFound, "ALLOCATION_NOT_FOUND")
	}
	held := read[allocation](t, as(t, "auditor"), nation)
	require.Equal(t, "4370000000", *held.ReleasedPence, "money goes by what was released, and not by the £45m that were planned")
	refused := as(t, "auditor").post(t, "/v1/devfund/allocations/PCN_DEV-2021-22:compare", fields{
		"methods": []fields{{"kind": "BID"}}, "receivers_level": "SYSTEM", "receivers": []fields{{"code": "QR1", "bid_pence": "1"}},
	}).refused(t, http.StatusBadRequest, "AMOUNT_UNKNOWN")
	require.Contains(t, refused.Metadata["missing"], "released sum of PCN_DEV in 2021/22")
	as(t, "auditor").post(t, "/v1/devfund/allocations/GP_TRANSFORM-2022-23:compare", fields{
		"methods": []fields{{"kind": "BID"}}, "receivers_level": "SYSTEM", "receivers": []fields{{"code": "QR1", "bid_pence": "1"}},
	}).refused(t, http.StatusBadRequest, "PCN_SHARE_NOT_SET")
}

func TestDevfund_ChecksPublishedWeights(t *testing.T) {
	t.Parallel()
	content := "Practice_Code,pop 2023/24,Health Ineq WP,Primary Medical Care WP,Final PMC WP\nA81001,100,120,100,103\nTotal,100,120,100,103\n"
	send := func(body string) answer {
		return as(t, "operator").call(t, request{
			method: http.MethodPost, path: "/v1/devfund/need-weights/imports?financial_year=2030-31&source=e2e&file_name=e2e.csv", body: strings.NewReader(body),
			headers: []string{"Content-Type", csvType, "Idempotency-Key", unique()},
		})
	}
	bad := send(strings.Replace(content, "120", "many", 1)).refused(t, http.StatusBadRequest, "FILE_MALFORMED")
	require.Equal(t, "line 2, column Health Ineq WP", bad.Errors[0].Field)
	taken := send(content)
	require.Equal(t, http.StatusCreated, taken.Status, "%s", taken)
	require.Equal(t, "/v1/devfund/years/2030-31/need-check", taken.Header.Get("Location"))
	send(content).refused(t, http.StatusConflict, "FILE_ALREADY_IMPORTED")
	check := read[struct {
		Passed    bool `json:"passed"`
		Practices int  `json:"practices"`
	}](t, as(t, "auditor", "QR1"), "/v1/devfund/years/2030-31/need-check")
	require.Equal(t, 1, check.Practices)
	require.False(t, check.Passed, "the columns sum to other populations")
}
