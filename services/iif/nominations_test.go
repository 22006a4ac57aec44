package iif_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

func (s *courseSuite) nominateAs(t testing.TB, who auth.Principal, pcn, person string) (*iifv1.Nomination, error) {
	t.Helper()
	return s.iif.Nominate(s.as(t, who), &iifv1.NominateRequest{RequestId: s.next(), PcnCode: pcn, Person: person})
}

func (s *courseSuite) decideNomination(t testing.TB, who auth.Principal, n *iifv1.Nomination, approve bool, why string) (*iifv1.Nomination, error) {
	t.Helper()
	return s.iif.DecideNomination(s.as(t, who), &iifv1.DecideNominationRequest{
		RequestId: s.next(), CommissionerCode: n.GetCommissionerCode(), NominationId: n.GetNominationId(), Etag: n.GetEtag(), Approve: approve, Reason: why,
	})
}

func (s *courseSuite) endNomination(t testing.TB, who auth.Principal, n *iifv1.Nomination) (*iifv1.Nomination, error) {
	t.Helper()
	return s.iif.EndNomination(s.as(t, who), &iifv1.EndNominationRequest{
		RequestId: s.next(), NominationId: n.GetNominationId(), Etag: n.GetEtag(), Reason: "left",
	})
}

// calculateYear calculates a year other than that of the suite.
func (s *courseSuite) calculateYear(t testing.TB, commissioner, year string) {
	t.Helper()
	_, err := s.iif.CalculateYear(s.as(t, testkit.Preparer(commissioner)), &iifv1.CalculateYearRequest{
		RequestId: s.next(), CommissionerCode: commissioner, FinancialYear: year,
	})
	require.NoError(t, err)
}

func TestNominations_HaveTwoPlacesForAPCN(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		manager := testkit.PCNManager(coursePCN)
		first, err := s.nominateAs(t, manager, coursePCN, "one@example.test")
		require.NoError(t, err)
		require.Equal(t, courseBody, first.GetCommissionerCode(), "as the register has it, where no year was calculated")
		_, err = s.nominateAs(t, manager, coursePCN, " one@example.test ")
		require.Equal(t, "NOMINATION_EXISTS", courseReason(err))
		_, err = s.nominateAs(t, manager, coursePCN, "  ")
		require.Equal(t, "PERSON_REQUIRED", courseReason(err))
		second, err := s.nominateAs(t, manager, coursePCN, "two@example.test")
		require.NoError(t, err)
		_, err = s.nominateAs(t, manager, coursePCN, "three@example.test")
		require.Equal(t, "NOMINATIONS_FULL", courseReason(err))
		_, err = s.nominateAs(t, manager, courseOthers, "three@example.test")
		require.NotEmpty(t, courseReason(err), "a PCN of others")
		_, err = s.decideNomination(t, testkit.Preparer(courseBody), second, false, " ")
		require.Equal(t, "REASON_REQUIRED", courseReason(err))
		_, err = s.decideNomination(t, testkit.Preparer(courseBody), second, false, "not of the PCN")
		require.NoError(t, err)
		_, err = s.nominateAs(t, manager, coursePCN, "three@example.test")
		require.NoError(t, err, "a place is free again")
		_, err = s.endNomination(t, manager, first)
		require.NoError(t, err)
		_, err = s.nominateAs(t, manager, coursePCN, "one@example.test")
		require.NoError(t, err, "and a person may be nominated again")
		_, err = s.nominateAs(t, testkit.PCNManager("U99999"), "U99999", "one@example.test")
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", courseReason(err))
	})
}

func TestNominations_AreDecidedByNeitherNomineeNorNominator(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		n, err := s.nominateAs(t, testkit.PCNManager(coursePCN), coursePCN, "one@example.test")
		require.NoError(t, err)
		for _, person := range []string{"one@example.test", testkit.PCNManager().Subject} {
			_, err = s.decideNomination(t, named(testkit.Approver(courseBody), person), n, true, "")
			require.Equal(t, "APPROVER_IS_MAKER", courseReason(err), person)
		}
		_, err = s.iif.DecideNomination(s.as(t, testkit.Preparer("QZZ")), &iifv1.DecideNominationRequest{
			RequestId: s.next(), CommissionerCode: "QZZ", NominationId: n.GetNominationId(), Etag: n.GetEtag(), Approve: true,
		})
		require.Equal(t, "NOMINATION_NOT_FOUND", courseReason(err))
		n, err = s.decideNomination(t, testkit.Approver(courseBody), n, true, "")
		require.NoError(t, err)
		require.Equal(t, iifv1.NominationState_NOMINATION_APPROVED, n.GetState())
		_, err = s.decideNomination(t, testkit.Approver(courseBody), n, false, "again")
		require.Equal(t, "NOMINATION_STATE_DIFFERS", courseReason(err))
		_, err = s.endNomination(t, testkit.PCNManager(courseOthers), n)
		require.Equal(t, "NOMINATION_NOT_FOUND", courseReason(err))
		ended, err := s.endNomination(t, testkit.Preparer(courseBody), n)
		require.NoError(t, err)
		require.Equal(t, iifv1.NominationState_NOMINATION_ENDED, ended.GetState())
		_, err = s.endNomination(t, testkit.Preparer(courseBody), ended)
		require.Equal(t, "NOMINATION_STATE_DIFFERS", courseReason(err))
	})
}

func TestNominations_OnlyThoseInForceDeclare(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		who := testkit.PCNManager(coursePCN)
		n, err := s.nominateAs(t, named(who, "director@example.test"), coursePCN, who.Subject)
		require.NoError(t, err)
		_, err = s.declare(t, coursePCN)
		require.Equal(t, "NOT_NOMINATED", courseReason(err))
		n, err = s.decideNomination(t, testkit.Preparer(courseBody), n, true, "")
		require.NoError(t, err)
		_, err = s.endNomination(t, who, n)
		require.NoError(t, err)
		_, err = s.declare(t, coursePCN)
		require.Equal(t, "NOT_NOMINATED", courseReason(err))
		s.nominate(t, courseOthers, who.Subject)
		_, err = s.declare(t, coursePCN)
		require.Equal(t, "NOT_NOMINATED", courseReason(err), "nominated for another PCN")
		s.nominate(t, coursePCN, who.Subject)
		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
		list, err := s.iif.ListNominations(s.as(t, who), &iifv1.ListNominationsRequest{InForceOnly: true})
		require.NoError(t, err)
		require.Len(t, list.GetNominations(), 1)
		list, err = s.iif.ListNominations(s.as(t, testkit.Auditor(courseBody)), &iifv1.ListNominationsRequest{PcnCode: coursePCN})
		require.NoError(t, err)
		require.Len(t, list.GetNominations(), 2)
		list, err = s.iif.ListNominations(s.as(t, testkit.Auditor("QZZ")), new(iifv1.ListNominationsRequest))
		require.NoError(t, err)
		require.Empty(t, list.GetNominations())
	})
}

func TestNominations_OfManyAtOnceTwoFindAPlace(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		var reasons [6]string
		var together sync.WaitGroup
		for i := range reasons {
			ctx, id := testkit.As(t.Context(), testkit.PCNManager(coursePCN)), s.next()
			together.Go(func() {
				_, err := s.iif.Nominate(ctx, &iifv1.NominateRequest{RequestId: id, PcnCode: coursePCN, Person: id})
				reasons[i] = courseReason(err)
			})
		}
		together.Wait()
		require.ElementsMatch(t, []string{"", "", "NOMINATIONS_FULL", "NOMINATIONS_FULL", "NOMINATIONS_FULL", "NOMINATIONS_FULL"}, reasons[:])
		s.clock.Set(time.Date(2022, time.June, 1, 9, 0, 0, 0, time.UTC))
		n, err := s.iif.Nominate(testkit.As(t.Context(), testkit.PCNManager(courseOthers)), &iifv1.NominateRequest{
			RequestId: s.next(), PcnCode: courseOthers, Person: "one@example.test",
		})
		require.NoError(t, err)
		require.Equal(t, "L0", n.GetCommissionerCode(), "a CCG led before July 2022")
	})
}

func TestNominations_StayWithTheCommissionerOfTheNewestYear(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		n := s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		// Another body was the payer of the year before, and the heir has taken over what it owed.
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = "QOLD" })
		s.register.heirs["QOLD"] = courseHeir
		s.calculateYear(t, courseHeir, "2024-25")
		list, err := s.iif.ListNominations(s.as(t, testkit.Auditor(courseHeir)), new(iifv1.ListNominationsRequest))
		require.NoError(t, err)
		require.Empty(t, list.GetNominations())
		// On the day of the newest year the payer is who it was.
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = courseBody })
		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
		_, err = s.endNomination(t, testkit.Preparer(courseBody), n)
		require.NoError(t, err)
	})
}

func TestNominations_GoWithAPCNThatMoves(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculateYear(t, courseBody, "2024-25")
		n := s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = courseHeir })
		s.calculateFor(t, courseHeir)
		list, err := s.iif.ListNominations(s.as(t, testkit.Auditor(courseHeir)), new(iifv1.ListNominationsRequest))
		require.NoError(t, err)
		require.Len(t, list.GetNominations(), 1)
		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
		_, err = s.endNomination(t, testkit.Preparer(courseBody), list.GetNominations()[0])
		require.Equal(t, "NOMINATION_NOT_FOUND", courseReason(err), "the PCN is another's")
		_, err = s.endNomination(t, testkit.Preparer(courseHeir), n)
		require.Equal(t, "VERSION_CHANGED", courseReason(err))
		_, err = s.endNomination(t, testkit.Preparer(courseHeir), list.GetNominations()[0])
		require.NoError(t, err)
	})
}

func TestNominations_CountByTheCommissionerThatApproved(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		held := func(commissioner string) {
			require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
				return store.LeadNominations(t.Context(), tx, []string{coursePCN}, commissioner)
			}))
		}
		held("QZZ")
		_, err := s.declare(t, coursePCN)
		require.Equal(t, "NOT_NOMINATED", courseReason(err), "approved by a body that leads the PCN in no year")
		held(courseBody)
		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
	})
}

func TestNominations_ServeAnEarlierYearOfAPCNThatMoved(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.clock.Set(time.Date(2027, time.May, 1, 9, 0, 0, 0, time.UTC))
		require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			year, err := store.Achievement(t.Context(), tx, coursePCN, 2025)
			if err != nil {
				return err
			}
			year.Year, year.CommissionerCode = 2026, courseHeir
			if err := store.LeadNominations(t.Context(), tx, []string{coursePCN}, courseHeir); err != nil {
				return err
			}
			return store.InsertAchievements(t.Context(), tx, []store.AchievementRow{year})
		}))
		_, err := s.declare(t, coursePCN)
		require.NoError(t, err, "nobody else can be asked to approve who declares")
	})
}

// TestNominations_AreHeldAgainstWhoeverLeadsThePCN has a PCN go to another commissioner while a change waits that the former one's people
// make, with the tag that the nomination has once it has gone over.
func TestNominations_AreHeldAgainstWhoeverLeadsThePCN(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		n, err := s.nominateAs(t, testkit.PCNManager(coursePCN), coursePCN, "one@example.test")
		require.NoError(t, err)
		lead := func(tx *sqldb.Tx, commissioner string) error {
			if err := store.LeadNominations(t.Context(), tx, []string{coursePCN}, commissioner); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `UPDATE achievements SET commissioner_code = $1 WHERE pcn_code = $2`, commissioner, coursePCN)
			return err
		}
		for name, change := range map[string]func(of *iifv1.Nomination) error{
			"end": func(of *iifv1.Nomination) error {
				_, err := s.endNomination(t, testkit.Preparer(courseBody), of)
				return err
			},
			"decide": func(of *iifv1.Nomination) error {
				_, err := s.decideNomination(t, testkit.Approver(courseBody), of, true, "")
				return err
			},
			"nominate": func(*iifv1.Nomination) error {
				_, err := s.nominateAs(t, testkit.PCNManager(coursePCN), coursePCN, "two@example.test")
				return err
			},
		} {
			done := make(chan error, 1)
			require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
				if err := tx.Lock(t.Context(), "commissioner/"+courseBody); err != nil {
					return err
				}
				held, err := store.Nomination(t.Context(), tx, n.GetNominationId())
				if err != nil {
					return err
				}
				of := &iifv1.Nomination{NominationId: held.ID, CommissionerCode: courseBody, Etag: strconv.FormatInt(held.Version+1, 10)}
				go func() { done <- change(of) }()
				if s.db.Dialect() == sqldb.Postgres {
					require.Eventually(t, func() bool {
						return s.rows(t, `pg_locks WHERE locktype = 'advisory' AND NOT granted AND ((CAST(classid AS BIGINT) << 32) | CAST(objid AS BIGINT))
							= hashtextextended(current_schema() || '/commissioner/' || $1, 0)`, courseBody) > 0
					}, 10*time.Second, 10*time.Millisecond)
				}
				return lead(tx, courseHeir)
			}))
			refused := courseReason(<-done)
			if s.db.Dialect() == sqldb.Postgres {
				require.Equal(t, "VERSION_CHANGED", refused, name)
			}
			require.Zero(t, s.rows(t, `nominations WHERE commissioner_code = $1 OR state <> 1`, courseBody), "%s: %s", name, refused)
			require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error { return lead(tx, courseBody) }))
		}
	})
}
