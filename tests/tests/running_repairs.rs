//! What tract takes wrongly or not at all and our loader repairs, one model each, against ONNX Runtime's numbers.
//! Given `fixtures/repairs`, which `fixtures/make_repairs.py` writes.
//! Promises that each runs as it is written, fused, and on tract's plain operators, with the shapes and types that ONNX gives.

use std::path::PathBuf;

use onnx_swish::{Model, Session};
use onnx_swish_tests::Stored;
use onnx_swish_tract::{ElementType, Operators, Outputs, Session as Engine, Tensor};

fn folder() -> PathBuf {
    onnx_swish_tests::folder().join("repairs")
}

struct Case {
    name: &'static str,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
}

impl Case {
    fn stored(name: &'static str) -> Case {
        let Stored { inputs, outputs } = Stored::read(&folder().join(name).with_extension("npz"));
        Case {
            name,
            inputs,
            outputs,
        }
    }

    fn compare(&self, how: &str, found: &Outputs) {
        for (output, expected) in &self.outputs {
            let what = format!("{} {how}: {output}", self.name);
            let found = found.get(output).unwrap();
            assert_eq!(found.element_type(), expected.element_type(), "{what}");
            assert_eq!(found.shape(), expected.shape(), "{what}");
            if !matches!(
                expected.element_type(),
                ElementType::F16 | ElementType::F32 | ElementType::F64
            ) {
                assert!(
                    found == expected,
                    "{what} is {found:?}, ONNX Runtime gives {expected:?}"
                );
                continue;
            }
            let (found, expected) = (found.to_f64().unwrap(), expected.to_f64().unwrap());
            for (index, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let same = found == expected || found.is_nan() && expected.is_nan();
                assert!(
                    same || (found - expected).abs() <= 1e-5 + 1e-4 * expected.abs(),
                    "{what}[{index}] is {found}, ONNX Runtime gives {expected}"
                );
            }
        }
    }

    fn given(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()))
    }

    /// Runs it fused and on these operators.
    fn check(&self, plain: &[Operators]) {
        let path = folder().join(self.name).with_extension("onnx");
        let model = Model::open(&path).unwrap();
        let session = Session::builder().load(&model).unwrap();
        // Twice: what the first run left behind must not matter.
        for _ in 0..2 {
            self.compare("fused", &session.run(self.given()).unwrap());
        }
        for &operators in plain {
            let engine = Engine::builder(std::fs::read(&path).unwrap())
                .operators(operators)
                .build()
                .unwrap();
            let outputs = engine.run(self.given()).unwrap();
            self.compare(&format!("{operators:?}"), &outputs);
        }
    }
}

macro_rules! repairs {
    (of_the_loader { $($name:ident)* } of_passes { $($passed:ident)* }) => {
        $(#[test]
        fn $name() {
            Case::stored(stringify!($name)).check(&[Operators::Stock, Operators::Reference]);
        })*

        // tract as it is has no passes.
        $(#[test]
        fn $passed() {
            Case::stored(stringify!($passed)).check(&[Operators::Reference]);
        })*

        #[test]
        fn every_stored_model_has_its_test() {
            let mut tested = vec![$(stringify!($name),)* $(stringify!($passed)),*];
            tested.sort_unstable();
            let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
            let models = files.filter(|path| path.extension().is_some_and(|it| it == "onnx"));
            let mut stored: Vec<String> =
                models.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            stored.sort_unstable();
            assert_eq!(tested, stored);
        }
    };
}

repairs! {
    of_the_loader {
        arg_max_of_no_numbers
        attention_of_masked_rows
        attention_over_past_keys
        batch_normalization_of_opset_9_with_five_outputs
        batch_normalization_of_weights
        batch_normalization_with_computed_parameters
        compress_by_a_constant
        compress_by_another_length
        constant_of_shape_without_value
        convolution_and_a_constant_of_the_channels_behind_an_identity
        dynamic_quantize_lstm
        einsum_of_sums_that_share_nothing
        einsum_to_a_scalar
        einsum_with_an_axis_of_one
        einsum_with_an_ellipsis_in_one_term
        einsum_with_diagonals
        functions_of_float64
        equal_truths
        first_hundred_of_the_boxes_that_are_kept
        flatten_of_nothing
        fused_mat_mul
        gather_nd_with_negative_indices
        global_lp_pool_of_each_p
        group_query_attention_of_a_further_prompt
        group_query_attention_of_rows_of_several_lengths
        group_query_attention_with_pasts_of_several_lengths
        gru_backwards
        gru_of_a_sequence_without_a_step
        gru_with_activations_and_clip
        hardmax_of_nothing
        if_of_a_shape_with_branches_of_other_ranks
        if_of_an_input_whose_other_branch_breaks_a_rule
        if_of_an_input_with_branches_of_other_ranks
        if_of_what_is_computed
        if_of_what_is_computed_whose_other_branch_breaks_a_rule
        loop_of_a_count
        loop_while_a_counter_is_small
        loop_while_a_sum_is_small
        lstm_of_a_sequence_without_a_step
        lstm_of_several_sequences
        lstm_with_lengths_that_are_given
        lstm_with_lengths_that_fold
        mat_mul_integer_of_vectors
        mat_mul_of_4_bits_with_scales_of_float32
        mat_mul_of_integers
        mat_mul_of_vectors
        max_pool_of_a_part_of_a_dilated_window
        multi_head_attention_that_looks_back
        non_max_suppression_of_no_boxes
        numbers_in_vectors_and_at_the_ends
        one_hot_out_of_range
        pad_of_opset_9_that_cuts
        pad_that_cuts
        pad_that_cuts_and_reflects
        pad_that_wraps
        powers_of_one_type_to_another
        range_to_a_vector
        ranges_of_sizes
        reductions_of_integers
        reshape_by_an_input
        resize_of_opset_10
        reverse_sequence
        rnn_of_no_steps
        rnn_of_relu
        rotary_embedding_from_a_position_on
        scaler
        scatter_nd_with_negative_indices
        scatter_over_zeros
        selu_by_default
        sizes_and_the_data_that_they_are_added_to
        skips_with_a_bias_and_without_an_epsilon
        slice_beyond_the_axis
        slice_by_inputs_along_two_axes
        slice_of_a_size_of_the_data
        slice_of_nothing_along_two_axes
        slice_of_opset_9_with_negative_axes
        slice_with_steps_after_a_reshape
        squares_and_sums_of_integers
        squeeze_of_no_axes
        sums_of_int64
        sums_of_many
        sums_of_nothing
        squeeze_of_opset_11_without_axes
        squeeze_without_axes
        transposed_convolution_as_large_as_its_stride
        transposed_convolution_beyond_its_reach
        transposed_convolution_to_a_shape
        upsample_of_opset_7
        upsample_of_opset_9
        what_is_left_of_a_constant
        whole_numbers_behind_casts
    }
    of_passes {
        attention_of_heads
        celu_and_softplus_between_codes
        choice_between_codes
        codes_in_branches_and_loops
        dynamic_quantisation_of_no_numbers
        dynamic_quantisation_of_zeros
        factors_whose_product_is_no_number
        floats_of_16_bits_in_a_loop
        number_of_the_boxes_that_are_kept
        activations_of_several_codes
        arithmetic_between_several_codes
        arithmetic_on_codes_from_outside_a_branch
        constants_of_fewer_axes_between_codes
        margins_around_one_row
        pools_of_planes
        pools_of_codes_in_onnxruntimes_arithmetic
        pools_of_codes_whose_channels_come_last
        pools_of_special_values
        products_of_codes_quantised_at_run_time
        products_of_codes_with_a_scale_for_each_channel
        products_of_matrices_of_codes_with_scales_of_their_own
        products_of_operands_in_any_order
        resizes_of_planes
        softmax_of_codes
        sums_and_products_of_codes_in_onnxruntimes_arithmetic
        recurrent_layers_of_nan
        samples_at_nan
        scales_of_float16
        samples_beyond_the_border
        special_values_in_a_loop
        special_values_in_a_scan
        special_values_in_branches
        sums_over_what_is_repeated
        strided_convolutions_behind_a_reshape
        strides_behind_same_padding
        top_k_of_nan
        whole_numbers_of_quotients
        whole_numbers_of_quotients_in_branches_and_loops
    }
}
