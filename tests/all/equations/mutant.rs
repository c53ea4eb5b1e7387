//! A copy of the reference that makes a mistake, run on the tests' problems.

/// One training step of `$problem` by `$mutant`, a module of `karenina_mutants`. Its types are the reference's, but
/// for Adam.
macro_rules! run_mutant {
    ($mutant:ident, $problem:expr) => {{
        use karenina_mutants::$mutant as wrong;

        let problem: &$crate::equations::case::Problem = $problem;
        let mut run = $crate::equations::reference::Run::new(problem);
        let karenina::reference::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
            m,
            v,
            updates,
        } = run.adam.clone();
        let mut adam =
            wrong::Adam { learning_rate, beta1, beta2, epsilon, weight_decay, m, v, updates };
        let step = wrong::training_step(
            &mut run.weights,
            &mut adam,
            &mut run.state,
            &run.batch,
            run.dropout,
            problem.limit,
        );
        (run.adam.m, run.adam.v) = (adam.m, adam.v);
        run.arrays(problem, step)
    }};
}

pub(crate) use run_mutant;
