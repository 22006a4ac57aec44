package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

const (
	// sampleAtOnce is how many commissioners are served at a time.
	sampleAtOnce = 4
	// samplePage is the most rows that a list gives at a time.
	samplePage = 1000
)

// sampleClaims models a month of claims from the published workforce and takes it over gRPC, as a stranger would, from the year's sums
// to closed schedules. What was done before stays.
func (p *process) sampleClaims(ctx context.Context) error {
	began := time.Now()
	reach := p.reach()
	s := &claimsSample{of: sample.PublishedWorkforce(), codes: p.command.ClaimsOf}
	err := reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) (err error) {
		if len(s.codes) == 0 {
			s.codes, err = commissioners(ctx, suite.register, s.of.Month)
		}
		return err
	})
	if err == nil {
		err = s.run(ctx, reach, os.Stdout)
	}
	if err != nil {
		return fmt.Errorf("claims of the sample: %w", err)
	}
	fmt.Printf("\nclaims modelled, approved and closed in %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// run takes the month through and prints what it came to.
func (s *claimsSample) run(ctx context.Context, reach client, out io.Writer) error {
	for _, step := range []struct {
		role optionsv1.Role
		run  func(context.Context, clients) error
	}{
		{optionsv1.Role_ROLE_FINANCE_PREPARER, s.fix},
		{optionsv1.Role_ROLE_OPERATOR, s.load},
		{optionsv1.Role_ROLE_FINANCE_PREPARER, s.putForward},
		{optionsv1.Role_ROLE_FINANCE_APPROVER, s.approve},
		{optionsv1.Role_ROLE_FINANCE_PREPARER, s.close},
		{optionsv1.Role_ROLE_AUDITOR, func(ctx context.Context, suite clients) error { return s.print(ctx, suite, out) }},
	} {
		if err := reach.withClients(step.role, func(suite clients) error { return step.run(ctx, suite) }); err != nil {
			return err
		}
	}
	return nil
}

// claimsSample is the month on its way.
type claimsSample struct {
	of        sample.Workforce
	codes     []string            // of commissioners
	pcns      map[string][]string // of each, those with a year
	published *arrsv1.WorkforceImport
	modelled  *modelledClaims
	claims    map[string]*arrsv1.Claim // with their lines, by identifier
	schedules []string
}

func (s *claimsSample) year() string {
	month, err := period.ParseMonth(s.of.Month)
	if err != nil {
		return ""
	}
	return strings.Replace(month.FinancialYear().String(), "/", "-", 1)
}

// each serves the commissioners, a few at a time.
func (s *claimsSample) each(what string, one func(code string) error) error {
	return eachOf(what, s.codes, one)
}

// eachOf does one thing for each commissioner, a few at a time, and tells how far it has come.
func eachOf(what string, codes []string, one func(code string) error) error {
	var mu sync.Mutex
	tell := newProgress(what, len(codes))
	group := new(errgroup.Group)
	group.SetLimit(sampleAtOnce)
	for _, code := range codes {
		group.Go(func() error {
			if err := one(code); err != nil {
				return fmt.Errorf("%s for %s: %s", what, code, describe(err))
			}
			mu.Lock()
			defer mu.Unlock()
			tell.step()
			return nil
		})
	}
	return group.Wait()
}

// fix works out the year's sums for the commissioners of the month.
func (s *claimsSample) fix(ctx context.Context, suite clients) error {
	err := s.each("fixing the sums of "+s.year(), func(code string) error {
		_, err := suite.arrs.FixYear(ctx, &arrsv1.FixYearRequest{RequestId: "sample-fix-" + code, CommissionerCode: code, FinancialYear: s.year()})
		return err
	})
	if err != nil {
		return err
	}
	s.pcns = make(map[string][]string)
	years, err := listYears(ctx, suite.arrs, s.year())
	for _, y := range years {
		s.pcns[y.GetCommissionerCode()] = append(s.pcns[y.GetCommissionerCode()], y.GetPcnCode())
	}
	return err
}

func listYears(ctx context.Context, arrs arrsv1.ArrsServiceClient, year string) (out []*arrsv1.Year, err error) {
	req := &arrsv1.ListYearsRequest{FinancialYear: year, PageSize: samplePage}
	for {
		answer, err := arrs.ListYears(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetYears()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// load imports the published workforce, which tells the PCNs that are not in it and the roles of its names.
func (s *claimsSample) load(ctx context.Context, suite clients) error {
	content, err := s.of.Read()
	if err != nil {
		return err
	}
	stream, err := suite.arrs.ImportWorkforce(ctx)
	if err != nil {
		return err
	}
	header := &arrsv1.WorkforceHeader{RequestId: "sample-" + s.of.Name, FileName: s.of.Name, Source: s.of.Source}
	// A refusal while the file is sent shows when the answer is read.
	_ = stream.Send(&arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Header{Header: header}})
	_ = stream.Send(&arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Chunk{Chunk: content}})
	answer, err := stream.CloseAndRecv()
	s.published = answer.GetWorkforceImport()
	return err
}

// model asks the suite for what the claims are made from: the roles of published names, and their maxima in the month.
func (s *claimsSample) model(ctx context.Context, arrs arrsv1.ArrsServiceClient) (*model, error) {
	census, err := period.ParseMonth(s.of.Census)
	if err != nil {
		return nil, err
	}
	m := &model{
		month: s.of.Month, inPost: census.Last().String(), roles: make(map[publishedName]string), baseline: make(map[string]bool),
		fullTime: make(map[string]*big.Rat), annual: make(map[string]money.Pence),
	}
	req := &arrsv1.ListWorkforceRequest{Month: s.of.Census, PageSize: samplePage}
	for {
		answer, err := arrs.ListWorkforce(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, row := range answer.GetRows() {
			name := row.GetPublished()
			m.roles[publishedName{name.GetStaffGroup(), name.GetStaffRole(), name.GetDetailedStaffRole()}] = row.GetRoleCode()
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	known, err := arrs.ListRoles(ctx, &arrsv1.ListRolesRequest{})
	if err != nil {
		return nil, err
	}
	for _, role := range known.GetRoles() {
		m.baseline[role.GetRoleCode()] = role.GetHasBaseline()
		if m.fullTime[role.GetRoleCode()], err = money.ParseDecimal(role.GetFullTime()); err != nil {
			return nil, err
		}
	}
	return m, s.prices(ctx, arrs, m)
}

// prices asks for the maxima of the roles. A role without one is taken as none.
func (s *claimsSample) prices(ctx context.Context, arrs arrsv1.ArrsServiceClient, m *model) error {
	for _, role := range m.roles {
		if _, asked := m.annual[role]; asked || role == "" {
			continue
		}
		answer, err := arrs.QuoteMaxima(ctx, &arrsv1.QuoteMaximaRequest{RoleCode: role, Regions: []arrsv1.Region{arrsv1.Region_NATIONAL}, Dates: []string{s.of.Month + "-01"}})
		if err != nil {
			return fmt.Errorf("maximum of %s: %w", role, err)
		}
		m.annual[role] = money.Pence(answer.GetMaxima()[0].GetAnnualPence())
	}
	maps.DeleteFunc(m.roles, func(_ publishedName, role string) bool { return m.annual[role] == 0 })
	return nil
}

// putForward records the baselines and imports the claims of each commissioner that has none for the month.
func (s *claimsSample) putForward(ctx context.Context, suite clients) error {
	m, err := s.model(ctx, suite.arrs)
	if err != nil {
		return err
	}
	content, err := s.of.Read()
	if err != nil {
		return err
	}
	posts, err := readWorkforce(content)
	if err != nil {
		return err
	}
	if s.modelled, err = m.claims(posts); err != nil {
		return err
	}
	return s.each("claiming "+s.of.Month, func(code string) error {
		held, err := suite.arrs.ListClaims(ctx, &arrsv1.ListClaimsRequest{CommissionerCode: code, Month: s.of.Month, PageSize: 1})
		if err != nil || len(held.GetClaims()) > 0 {
			return err
		}
		for _, role := range m.baselines(s.modelled, s.pcns[code]) {
			_, err := suite.arrs.RecordDecision(ctx, &arrsv1.RecordDecisionRequest{
				RequestId: "sample-baseline-" + code + "-" + role, CommissionerCode: code, Kind: arrsv1.DecisionKind_BASELINE_WTE, RoleCode: role,
				Value: "0", FromMonth: s.of.Month, Reason: "assumed for the sample: " + modelled,
			})
			if err != nil {
				return err
			}
		}
		return s.importClaims(ctx, suite.arrs, m, code)
	})
}

func (s *claimsSample) importClaims(ctx context.Context, arrs arrsv1.ArrsServiceClient, m *model, code string) error {
	content, err := m.file(s.modelled, s.pcns[code])
	if err != nil {
		return err
	}
	header := &arrsv1.ClaimsHeader{RequestId: "sample-claims-" + code, CommissionerCode: code, FileName: "modelled_" + s.of.Month + "_" + code + ".csv", Declared: true}
	_, err = sendClaims(ctx, arrs, header, bytes.NewReader(content))
	return err
}

// approve has another person approve the claims that the sample put forward, and keeps all claims of the month with their lines. What a
// person has put forward beside them is theirs to decide.
func (s *claimsSample) approve(ctx context.Context, suite clients) error {
	var mu sync.Mutex
	s.claims = make(map[string]*arrsv1.Claim)
	return s.each("approving "+s.of.Month, func(code string) error {
		heads, err := listClaims(ctx, suite.arrs, &arrsv1.ListClaimsRequest{CommissionerCode: code, Month: s.of.Month})
		if err != nil {
			return err
		}
		for _, head := range heads {
			var claim *arrsv1.Claim
			if head.GetState() == arrsv1.ClaimState_CLAIM_STATE_SUBMITTED && head.GetNotes() == modelled && head.GetRevision() == 1 {
				claim, err = suite.arrs.DecideClaim(ctx, &arrsv1.DecideClaimRequest{
					RequestId: "sample-approve-" + head.GetClaimId(), ClaimId: head.GetClaimId(), Etag: head.GetEtag(), Approve: true,
				})
			} else {
				claim, err = suite.arrs.GetClaim(ctx, &arrsv1.GetClaimRequest{ClaimId: head.GetClaimId()})
			}
			if err != nil {
				return err
			}
			mu.Lock()
			s.claims[claim.GetClaimId()] = claim
			mu.Unlock()
		}
		return nil
	})
}

func listClaims(ctx context.Context, arrs arrsv1.ArrsServiceClient, req *arrsv1.ListClaimsRequest) (out []*arrsv1.Claim, err error) {
	for req.PageSize = samplePage; ; {
		answer, err := arrs.ListClaims(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetClaims()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// close closes the month of arrs; that of core waits for lists of its own quarter.
func (s *claimsSample) close(ctx context.Context, suite clients) error {
	requestID := func(commissioner string) string { return "sample-arrs-" + s.of.Month + "-" + commissioner }
	done, err := closeMonth(ctx, "arrs", s.of.Month, s.codes, closeArrs(suite.arrs, s.of.Month, requestID))
	if err != nil {
		return err
	}
	s.schedules = done.schedules
	return awaitSchedules(ctx, suite.payments, s.of.Month, s.schedules)
}

// print writes what the month came to, and what it rests on before it.
func (s *claimsSample) print(ctx context.Context, suite clients, out io.Writer) error {
	month, err := claimsMonthOf(ctx, suite.arrs, s.of.Month, s.claims)
	if err != nil {
		return err
	}
	title := "staff of " + s.of.Month + ": " + modelled
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("─", len(title)))
	_, _ = fmt.Fprintf(out, "%s: %s posts in %s PCNs, claimed at the prices of %s\nassumed, because it is not published:\n",
		s.of.Source, count(int64(s.published.GetRows())), count(int64(s.published.GetPcns())), s.of.Month)
	for _, line := range assumptions {
		_, _ = fmt.Fprintln(out, "  -", line)
	}
	_, _ = fmt.Fprintf(out, "not claimed: %s posts in no reimbursable role, %d of less than an hour a week, and what %d people work above 1.0 (%s WTE in all)\n",
		count(int64(s.modelled.others)), s.modelled.tiny, s.modelled.capped, s.modelled.cappedWTE.FloatString(1))
	full, err := suite.arrs.GetWorkforceImport(ctx, &arrsv1.GetWorkforceImportRequest{ImportId: s.published.GetImportId()})
	if err != nil {
		return err
	}
	printCodes(out, "PCNs that the publication lacks (all in GET /v1/arrs/workforce/imports/"+full.GetImportId()+")", full.GetAbsentPcnCodes())
	if none := s.modelled.withoutLines(); none > 0 {
		_, _ = fmt.Fprintf(out, "PCNs of the publication that have no post to claim: %s\n", count(int64(none)))
	}
	s.printUnled(out, full.GetUnknownPcnCodes())
	if err := month.print(out); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out)
	return tellAssembled(ctx, suite.payments, s.of.Month, s.schedules)
}

// printUnled writes the PCNs that are published and have no sum to claim from.
func (s *claimsSample) printUnled(out io.Writer, codes []string) {
	if len(codes) == 0 {
		return
	}
	_, _ = fmt.Fprintf(out, "PCNs of the publication that no commissioner is known to lead, so that nothing is claimed for them: %d\n", len(codes))
	for _, code := range codes {
		_, _ = fmt.Fprintf(out, "  %s %s: %d posts\n", code, s.modelled.names[code], len(s.modelled.byPCN[code]))
	}
}

// printCodes writes the first few of a list.
func printCodes(out io.Writer, what string, codes []string) {
	const shown = 8
	if len(codes) == 0 {
		return
	}
	slices.Sort(codes)
	more := ""
	if len(codes) > shown {
		more = " …"
	}
	_, _ = fmt.Fprintf(out, "%s: %s, %s%s\n", what, count(int64(len(codes))), strings.Join(codes[:min(shown, len(codes))], " "), more)
}
